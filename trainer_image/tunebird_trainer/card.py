"""The model card, from what really happened and what the job's owner said; it claims nothing that was not measured.
Times and attempts are left to tunebird.json, so that the same run gives the same card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import Form

if TYPE_CHECKING:
    from tunebird_trainer.config import Config
    from tunebird_trainer.data import Counts, Prepared

NOT_SAID = "Not stated by the owner of the job."


def card(config: Config, facts: dict[str, Any], data: Prepared) -> str:
    sections = (
        _head(config),
        f"# {config.job.name}\n\n{_opening(config)}",
        f"## Intended use\n\n{config.output.card.intended_use or NOT_SAID}",
        f"## Limitations\n\n{_limitations(config, data)}",
        f"## Data\n\n{_data(data)}",
        f"## Training\n\n{_training(config, facts)}",
        f"## Results\n\n{_results(facts)}",
        f"## How to use\n\n{_use(config)}",
        f"## Contact\n\n{config.output.card.contact or NOT_SAID}",
    )
    return "\n\n".join(sections) + "\n"


def servable(config: Config) -> dict[str, Any]:
    """For each runtime and form whether it can be loaded, and why not."""
    forms: dict[str, Any] = {}
    if Form.MERGED in config.output.forms:
        forms["merged"] = {"tunebird": True, "vllm": True}
    if Form.ADAPTER in config.output.forms:
        vllm_limits = [reason for applies, reason in _vllm_adapter_limits(config) if applies]
        forms["adapter"] = {"tunebird": False, "vllm": not vllm_limits}
        forms["adapter"]["reasons"] = ["tunebird serves merged models", *vllm_limits]
    return forms


def _vllm_adapter_limits(config: Config) -> tuple[tuple[bool, str], ...]:
    lora = config.method.lora
    if lora is None:
        return ()
    return (
        (lora.use_dora, "vllm takes no DoRA adapters; serve merged"),
        (lora.rank > 512, f"vllm takes ranks up to 512, not {lora.rank}; serve merged"),
    )


def _head(config: Config) -> str:
    licences = sorted({dataset.license for dataset in config.datasets if dataset.license})
    lines = ["---"]
    if config.output.card.license:
        lines.append(f"license: {config.output.card.license}")
    if config.model.uri.startswith("hf://"):
        lines.append(f"base_model: {config.model.uri.removeprefix('hf://')}")
    lines += ["library_name: transformers", "pipeline_tag: text-generation", "tags: [tunebird]"]
    if licences:
        lines.append(f"data_licenses: [{', '.join(licences)}]")
    return "\n".join([*lines, "---"])


def _opening(config: Config) -> str:
    lora = config.method.lora
    how = f"LoRA of rank {lora.rank}" if lora else "all weights trained"
    return f"`{config.model.uri}` fine-tuned on {len(config.datasets)} dataset(s) ({how}) by Tunebird."


def _limitations(config: Config, data: Prepared) -> str:
    lines = [config.output.card.limitations or NOT_SAID]
    lines.append("No evaluation beyond the held-out loss was run.")
    gaps = sum(counts.placeholders for counts in data.counts)
    if gaps:
        lines.append(
            f"{gaps} training rows hold unfilled placeholders such as `{{{{name}}}}`; the model may write them."
        )
    return "\n\n".join(lines)


def _data(data: Prepared) -> str:
    head = "| Dataset | Format | Rows | Invalid | Duplicates | Left out | Too long | Licence |\n" + "|---" * 8 + "|"
    total = f"{len(data.train)} sequences ({data.tokens} tokens) were trained on, {len(data.validation)} were held out."
    return "\n".join([head, *(_row(counts) for counts in data.counts), "", total])


def _row(counts: Counts) -> str:
    cells = (counts.name, counts.format, counts.rows, counts.invalid, counts.duplicates, counts.left_out,
             counts.too_long, counts.license or "not stated")  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def _training(config: Config, facts: dict[str, Any]) -> str:
    training, schedule = config.training, config.training.schedule
    lines = [
        f"- steps: {facts['steps']}, global batch of {training.global_batch_size} sequences",
        f"- learning rate: {training.learning_rate:g}, {schedule.type}, warm-up {schedule.warmup:.0%}",
        f"- optimizer: {training.optimizer}, precision: {training.precision}, seed: {training.seed}",
        f"- longest sequence: {training.max_sequence_length} tokens, packing: {'yes' if training.packing else 'no'}",
        f"- loss on: {training.loss_on}",
    ]
    lines += [f"- {name}: {version}" for name, version in facts["environment"].items()]
    return "\n".join(lines)


def _results(facts: dict[str, Any]) -> str:
    metrics, smoke = facts["metrics"], facts["checks"]["smoke"]
    lines = [f"- loss of the last training step: {metrics['trainLoss']:.4f}"] if "trainLoss" in metrics else []
    if "evalLoss" in metrics:
        before = f", before training {metrics['evalLossBefore']:.4f}" if "evalLossBefore" in metrics else ""
        lines.append(f"- held-out loss: {metrics['evalLoss']:.4f}{before}")
    ending = "ended by itself" if smoke["endsByEndToken"] else "did not end by itself"
    lines.append(f"- a first answer {ending} after {smoke['newTokens']} tokens")
    return "\n".join(lines)


def _use(config: Config) -> str:
    forms = []
    if Form.MERGED in config.output.forms:
        forms.append("`merged/` is a complete model: `AutoModelForCausalLM.from_pretrained('merged')`.")
    if Form.ADAPTER in config.output.forms:
        forms.append("`adapter/` is a PEFT adapter: `AutoPeftModelForCausalLM.from_pretrained('adapter')`.")
    return "\n\n".join([*forms, "Digests of every file are in `tunebird.json`."])
