"""The model card, from what really happened and what the job's owner said; it claims nothing that was not measured.
Times and attempts are left to tunebird.json, so that the same run gives the same card."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import Form, Objective, Quantization, Tuning
from tunebird_trainer.data import balance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tunebird_trainer.config import Config
    from tunebird_trainer.data.prepared import Counts, Prepared

NOT_SAID = "Not stated by the owner of the job."
_COLUMNS = ("Dataset", "Source", "Format", "Rows", "Trained", "Held out", "Invalid", "Duplicates", "Too long",
            "Left out", "Licence")  # fmt: skip
_LANGUAGE_SHARE = 0.05  # a language is named in the head from this share of the rows


def card(config: Config, facts: dict[str, Any], data: Prepared) -> str:
    said = config.output.card
    sections = (
        f"---\n{_head(config, data)}---",
        f"# {config.job.name}\n\n{_opening(config)}",
        f"## Intended use\n\n{said.intended_use or NOT_SAID}",
        "## Limitations\n\n" + "\n\n".join(_limitations(config, facts, data)),
        "## Data\n\n" + "\n".join(_data(data)),
        "## Training\n\n" + "\n".join(_training(config, facts)),
        "## Results\n\n" + "\n".join(_results(facts)),
        f"## Evaluation\n\n{_evaluation(facts['evaluation'])}",
        "## How to use\n\n" + "\n\n".join(_use(config, facts)),
        "## Environment\n\n" + "\n".join(f"- {name}: {version}" for name, version in facts["environment"].items()),
        f"## Licence\n\n{said.license or NOT_SAID}",
        f"## Contact\n\n{said.contact or NOT_SAID}",
    )
    return "\n\n".join(sections) + "\n"


def servable(config: Config) -> dict[str, Any]:
    """For each runtime and form whether it can be loaded, and why not."""
    told: dict[str, Any] = {}
    if Form.MERGED in config.output.forms:
        told["merged"] = {"tunebird": True, "vllm": True}
    if Form.ADAPTER in config.output.forms:
        vllm_limits = [reason for applies, reason in _vllm_adapter_limits(config) if applies]
        told["adapter"] = {"tunebird": False, "vllm": not vllm_limits}
        told["adapter"]["reasons"] = ["tunebird serves merged models", *vllm_limits]
    return told


def _vllm_adapter_limits(config: Config) -> tuple[tuple[bool, str], ...]:
    lora = config.method.lora
    if lora is None:
        return ()
    return (
        (lora.use_dora, "vllm takes no DoRA adapters; serve merged"),
        (lora.rank > 512, f"vllm takes ranks up to 512, not {lora.rank}; serve merged"),
    )


def _head(config: Config, data: Prepared) -> str:
    """What the Hugging Face hub reads. Only what lies on the hub has a name there."""
    import yaml

    hub = [dataset.uri.removeprefix("hf://") for dataset in config.datasets if dataset.uri.startswith("hf://")]
    alone = set(config.output.forms) == {Form.ADAPTER}
    head = {
        "license": config.output.card.license,
        "language": _languages(data),
        "base_model": config.model.uri.removeprefix("hf://") if config.model.uri.startswith("hf://") else "",
        "base_model_relation": "adapter" if alone else "finetune",
        "datasets": sorted({"/".join(name.split("/")[:2]) for name in hub}),
        "library_name": "peft" if alone else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["tunebird", str(config.method.objective), _method(config)],
        "data_licenses": sorted({dataset.license for dataset in config.datasets if dataset.license}),
    }
    text: str = yaml.safe_dump({key: value for key, value in head.items() if value}, sort_keys=False)
    return text


def _languages(data: Prepared) -> list[str]:
    counted: dict[str, int] = {}
    for told in data.report.get("balance", {}).values():
        for code, rows in (told.get("languages") or {}).items():
            counted[code] = counted.get(code, 0) + rows
    return sorted(code for code, rows in counted.items() if rows >= _LANGUAGE_SHARE * sum(counted.values()))


def _method(config: Config) -> str:
    if config.method.tuning is Tuning.FULL:
        return "full"
    return "lora" if config.method.quantization is Quantization.NONE else "qlora"


def _opening(config: Config) -> str:
    lora, quantization = config.method.lora, config.method.quantization
    how = f"LoRA of rank {lora.rank}" if lora else "all weights trained"
    how += "" if quantization is Quantization.NONE else f" on a base held in {quantization}"
    what = {
        Objective.SFT: "fine-tuned",
        Objective.CONTINUE: "trained further on text",
        Objective.DPO: "trained by preference (DPO)",
    }[config.method.objective]
    return f"`{config.model.uri}` {what} on {len(config.datasets)} dataset(s) ({how}) by Tunebird."


def _limitations(config: Config, facts: dict[str, Any], data: Prepared) -> Iterator[str]:
    yield config.output.card.limitations or NOT_SAID
    if not facts["evaluation"].get("metrics"):
        yield "No evaluation beyond the held-out loss was run."
    gaps = sum(counts.placeholders for counts in data.counts)
    if gaps:
        yield f"{gaps} training rows hold unfilled placeholders such as `{{{{name}}}}`; the model may write them."
    for name, told in data.report.get("balance", {}).items():
        if bias := balance.length_bias(told):
            yield f"In `{name}` {bias}; the model may have learned length rather than quality."
    yield from _endless(facts["checks"]["answers"])


def _endless(told: dict[str, Any]) -> Iterator[str]:
    share, before = told["endTokenShare"], told["baseEndTokenShare"]
    if share is None or share >= 1:
        return
    said = f"Of {told['prompts']} prompts tried, {1 - share:.0%} got an answer that did not end by itself within "
    said += f"{told['tokenLimit']} tokens"
    if before is not None:
        said += f"; with the base model it was {1 - before:.0%}"
        said += ", so training did not cause it" if before <= share else ""
    yield f"{said}."


def _data(data: Prepared) -> Iterator[str]:
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|---" * len(_COLUMNS) + "|"
    yield from (_row(counts) for counts in data.counts)
    yield ""
    held_out = len(data.validation)
    yield f"{len(data.train)} sequences ({data.tokens} tokens) were trained on, {held_out} were held out."
    found = list(_found(data.report))
    if found:
        yield ""
        yield from found


def _row(counts: Counts) -> str:
    # A path of one machine says nothing elsewhere but the file's name.
    source = counts.uri.rpartition("/")[2] if counts.uri.startswith("file://") else counts.uri
    cells = (counts.name, source, counts.format, counts.rows, counts.trained, counts.held_out, counts.invalid,
             counts.duplicates + counts.near_duplicates, counts.too_long, counts.left_out + counts.unsafe
             + counts.contaminated, counts.license or "not stated")  # fmt: skip
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _found(report: dict[str, Any]) -> Iterator[str]:
    """What the data's checks found; nothing where they found nothing."""
    for name, kinds in report.get("personal", {}).items():
        told = [f"{kind} {_personal(found)}" for kind, found in kinds.items()]
        if told:
            yield f"- personal data and secrets in {name}: {', '.join(told)}"
    for name, categories in report.get("unsafe", {}).items():
        if categories:
            listed = ", ".join(f"{category} {rows}" for category, rows in categories.items())
            yield f"- flagged as unsafe in {name} (action: {report.get('unsafeAction')}): {listed}"
    near = report.get("nearDuplicates")
    if near:
        yield f"- near duplicates above a similarity of {near['threshold']}: {near['dropped']} left out"
    for name, told in report.get("contamination", {}).items():
        action = report.get("contaminationAction")
        yield f"- rows that hold a prompt of the suite {name}: {told['rows']} (action: {action})"
    for name, told in report.get("balance", {}).items():
        languages = told.get("languages") or {}
        if languages:
            listed = ", ".join(f"{code} {rows}" for code, rows in list(languages.items())[:8])
            yield f"- languages of {name} (rows): {listed}"


def _personal(found: Any) -> str:
    if isinstance(found, dict):
        return ", ".join(f"{number} {what}" for what, number in found.items())
    return str(found)


def _training(config: Config, facts: dict[str, Any]) -> Iterator[str]:
    training, schedule, lora = config.training, config.training.schedule, config.method.lora
    yield f"- objective: {config.method.objective}, tuning: {_method(config)}"
    if lora:
        extra = [name for name, on in (("DoRA", lora.use_dora), ("rsLoRA", lora.use_rslora)) if on]
        yield (
            f"- adapter: rank {lora.rank}, alpha {lora.alpha}, dropout {lora.dropout:g}, on {lora.target_modules}"
            + "".join(f", {name}" for name in extra)
        )
    if config.method.objective is Objective.DPO:
        dpo = config.method.dpo
        yield f"- preference: {dpo.loss}, beta {dpo.beta:g}, label smoothing {dpo.label_smoothing:g}"
    yield f"- steps: {facts['steps']}, global batch of {training.global_batch_size} sequences"
    yield f"- learning rate: {training.learning_rate:g}, {schedule.type}, warm-up {schedule.warmup:.0%}"
    yield f"- optimizer: {training.optimizer}, weight decay {training.weight_decay:g}, precision: {training.precision}"
    yield f"- seed: {training.seed}"
    yield f"- gradients: {_clipping(training.max_gradient_norm, facts)}"
    yield f"- longest sequence: {training.max_sequence_length} tokens, packing: {'yes' if training.packing else 'no'}"
    yield f"- loss on: {training.loss_on}"
    world = config.distributed.world_size
    yield f"- processes: {world}, ZeRO stage {config.distributed.zero_stage}" if world > 1 else "- processes: 1"
    yield "- times, device and memory: `hardware` in tunebird.json; energy was not measured"


def _clipping(limit: float, facts: dict[str, Any]) -> str:
    if not limit:
        return "not clipped"
    return f"clipped at {limit:g}, in {facts['metrics'].get('clippedSteps', 0)} of {facts['steps']} steps"


def _results(facts: dict[str, Any]) -> Iterator[str]:
    metrics, checks = facts["metrics"], facts["checks"]
    if "trainLoss" in metrics:
        yield f"- loss of the last training step: {metrics['trainLoss']:.4f}"
    if "evalLoss" in metrics:
        before = f", before training {metrics['evalLossBefore']:.4f}" if "evalLossBefore" in metrics else ""
        yield f"- held-out loss: {metrics['evalLoss']:.4f}{before}"
    told = checks["answers"]
    if told["endTokenShare"] is not None:
        yield (
            f"- {told['endTokenShare']:.0%} of {told['prompts']} answers ended by their end token within "
            f"{told['tokenLimit']} tokens"
        )
    yield (
        f"- merged model against the model as trained: {checks['mergedDivergence']:.2g} nats a token apart (KL), "
        f"{checks['topTokenAgreement']:.1%} of the likeliest tokens agree"
    )


def _evaluation(told: dict[str, Any]) -> str:
    if not told.get("metrics"):
        return "No suites were given."
    lines = [
        f"Intervals at {told['confidence']:.0%}.",
        "",
        "| Metric | This model | Base | Change | Cases |",
        "|---" * 5 + "|",
    ]
    for metric, found in told["metrics"].items():
        if metric.endswith((".latency", ".throughput")):
            continue  # differ from run to run, and the card is part of the artifact's digest; tunebird.json has them
        cells = (metric, _interval(found), _interval(found.get("base")), _interval(found.get("change")), found["n"])
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", f"Gates: {told['status']}. {told['message']}."]
    lines += [f"- {gate['verdict']}: {gate['reason']}" for gate in told["gates"]]
    lines += [f"- doubt: {doubt}" for doubt in told.get("doubts", [])]
    return "\n".join(lines)


def _interval(found: dict[str, Any] | None) -> str:
    if not found or found.get("value") is None:
        return "-"
    if found.get("low") is None or found.get("high") is None:
        return f"{found['value']:.4g}"
    return f"{found['value']:.4g} [{found['low']:.4g}, {found['high']:.4g}]"


def _use(config: Config, facts: dict[str, Any]) -> Iterator[str]:
    if Form.MERGED in config.output.forms:
        yield "`merged/` is a complete model: `AutoModelForCausalLM.from_pretrained('merged')`."
        asked = {"model": config.job.name, "messages": [{"role": "user", "content": "Hello"}]}
        yield "Tunebird's server for CPUs, started in this directory, and a question to it:"
        yield (
            f'```bash\ntunebird-server --model-uri "file://$PWD" --served-model-name {shlex.quote(config.job.name)}\n'
            "curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' "
            f"-d {shlex.quote(json.dumps(asked))}\n```"
        )
    if Form.ADAPTER in config.output.forms:
        yield "`adapter/` is a PEFT adapter: `AutoPeftModelForCausalLM.from_pretrained('adapter')`."
    for form, runtimes in facts["servable"].items():
        yes = [name for name, can in runtimes.items() if can is True]
        why = f" ({'; '.join(runtimes['reasons'])})" if runtimes.get("reasons") else ""
        yield f"{form}: served by {', '.join(yes) or 'none'}{why}."
    yield "Digests of every file are in `tunebird.json`."
