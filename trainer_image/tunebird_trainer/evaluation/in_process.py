"""A model in this process: answers in batches, likelihoods of texts. Chat template and stop tokens are those that
`tunebird_trainer.server` reads from the same directory, so both give the same answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunebird_checks.answers import Answer
from tunebird_checks.chat import Generation
from tunebird_checks.checking import check
from tunebird_checks.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tunebird_checks.suite import Case, Suite

BATCH = 8  # answers generated at once: the serving batch size that latency and throughput are told for


@dataclass(frozen=True, slots=True)
class Loaded:
    """`ends` are the tokens that end an answer, `top_p` what the model's own generation config says."""

    model: Any
    tokenizer: Any
    ends: tuple[int, ...]
    top_p: float
    context: int

    @property
    def pad(self) -> int:
        found = self.tokenizer.pad_token_id
        return int(self.ends[0] if found is None else found)


@dataclass(frozen=True, slots=True)
class Asked:
    """One sample of one case, as token ids."""

    case: Case
    sample: int
    ids: tuple[int, ...]
    error: str = ""


def load(directory: Path) -> Loaded:
    """32-bit floats on a CPU, as the server has them; on a GPU as the weights are stored."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    cuda = torch.cuda.is_available()
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        directory, local_files_only=True, use_safetensors=True, dtype="auto" if cuda else torch.float32
    )
    model = model.to("cuda" if cuda else "cpu").eval()
    own = model.generation_config
    named = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
    ends = tuple(dict.fromkeys(each for each in (*named, tokenizer.eos_token_id) if each is not None))
    model.generation_config = GenerationConfig()  # no penalty of the model's own that a server would not apply
    context = int(getattr(model.config, "max_position_embeddings", 0) or 0) or 2**31
    return Loaded(model, tokenizer, ends, float(own.top_p or 1.0), context)


def answers(
    suite: Suite, loaded: Loaded, generation: Generation, between: Callable[[], None]
) -> tuple[list[Result], float]:
    """Every case, every sample, and the seconds it took; `between` is called before each batch."""
    asked = [_asked(case, sample, loaded, generation) for case in suite.cases for sample in range(generation.samples)]
    results = [_result(each, Answer("", error=each.error)) for each in asked if each.error]
    ready = sorted((each for each in asked if not each.error), key=lambda each: len(each.ids))
    wall = 0.0
    if ready:  # what is set up at the first answer is not the latency of any
        generated([ready[0].ids], loaded, Generation(max_tokens=2), seed=0)
    for start in range(0, len(ready), BATCH):
        between()
        batch = ready[start : start + BATCH]
        began = time.monotonic()
        made = generated([each.ids for each in batch], loaded, generation, seed=generation.seed + start)
        seconds = time.monotonic() - began
        wall += seconds
        results += [_result(each, _answer(ids, loaded, seconds)) for each, ids in zip(batch, made, strict=True)]
    order = {case.id: place for place, case in enumerate(suite.cases)}
    return sorted(results, key=lambda each: (order[each.case], each.sample)), wall


def generated(
    prompts: Sequence[Sequence[int]], loaded: Loaded, generation: Generation, seed: int
) -> list[tuple[int, ...]]:
    """What follows each prompt, up to and with its end token; padded on the left, so that every answer begins at the
    same place."""
    import torch
    from transformers import GenerationConfig

    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[loaded.pad] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    sampled = {"do_sample": True, "temperature": generation.temperature, "top_p": loaded.top_p, "top_k": 0}
    how = GenerationConfig(
        max_new_tokens=generation.max_tokens, eos_token_id=list(loaded.ends), pad_token_id=loaded.pad,
        **(sampled if generation.temperature else {"do_sample": False}),
    )  # fmt: skip
    device = loaded.model.device
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(seed)
        out = loaded.model.generate(ids.to(device), attention_mask=mask.to(device), generation_config=how)
    return [_ended(row[width:], loaded.ends) for row in out.tolist()]


def likelihoods_of(loaded: Loaded, prompt: Sequence[int], texts: Sequence[Sequence[int]]) -> list[float]:
    """Negative log-likelihood of each text after the prompt, summed, in nats; in batches, padded on the right."""
    import torch

    found: list[float] = []
    for start in range(0, len(texts), 4 * BATCH):
        batch = texts[start : start + 4 * BATCH]
        width = max(len(text) for text in batch)
        rows = [[*prompt, *text, *[loaded.pad] * (width - len(text))] for text in batch]
        labels = [[-100] * len(prompt) + [*text] + [-100] * (width - len(text)) for text in batch]
        ids, wanted = (torch.tensor(each, device=loaded.model.device) for each in (rows, labels))
        with torch.inference_mode():
            logits = loaded.model(ids, use_cache=False).logits[:, :-1].float()
        nats = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), wanted[:, 1:], ignore_index=-100, reduction="none"
        )
        found += nats.sum(-1).tolist()
    return found


def likelihood(loaded: Loaded, ids: Sequence[int], labels: Sequence[int]) -> float:
    """Negative log-likelihood of the labels that are not -100, summed, in nats."""
    import torch

    device = loaded.model.device
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([list(ids)], device=device), use_cache=False).logits[0, :-1].float()
    wanted = torch.tensor(list(labels)[1:], device=device)
    return float(torch.nn.functional.cross_entropy(logits, wanted, ignore_index=-100, reduction="sum"))


def with_references(
    suite: Suite, results: Iterable[Result], loaded: Loaded, between: Callable[[], None]
) -> list[Result]:
    """The results with the likelihood of each case's reference, on its first sample; `between` as in `answers`."""
    from dataclasses import replace

    cases = {case.id: case for case in suite.cases if case.reference is not None}
    done = []
    for result in results:
        between()
        case = cases.get(result.case)
        if case is None or result.sample:
            done.append(result)
            continue
        asked, text = _prompt(case, loaded), tokens(case.reference or "", loaded)
        if len(asked) + len(text) > loaded.context:
            done.append(result)
            continue
        done.append(replace(result, nll=likelihoods_of(loaded, asked, [text])[0], nll_tokens=len(text)))
    return done


def tokens(text: str, loaded: Loaded) -> tuple[int, ...]:
    return tuple(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])


def chat_prompt(turns: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]], loaded: Loaded) -> tuple[int, ...]:
    text = loaded.tokenizer.apply_chat_template(
        list(turns), tools=list(tools) or None, tokenize=False, add_generation_prompt=True
    )
    return tokens(text, loaded)


def _prompt(case: Case, loaded: Loaded) -> tuple[int, ...]:
    turns = [{**turn, "content": turn.get("content") or ""} for turn in case.turns]
    return chat_prompt(turns, case.tools, loaded)


def _asked(case: Case, sample: int, loaded: Loaded, generation: Generation) -> Asked:
    import jinja2

    try:
        ids = _prompt(case, loaded)
    except jinja2.TemplateError as error:
        return Asked(case, sample, (), f"the chat template refuses the conversation: {error}")
    if len(ids) + generation.max_tokens > loaded.context:
        said = f"{len(ids)} tokens of prompt and {generation.max_tokens} of answer don't fit into {loaded.context}"
        return Asked(case, sample, ids, said)
    return Asked(case, sample, ids)


def _answer(ids: Sequence[int], loaded: Loaded, seconds: float) -> Answer:
    ended = bool(ids) and ids[-1] in loaded.ends
    text = loaded.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Answer(text, finish_reason="stop" if ended else "length", tokens=len(ids), seconds=seconds)


def _ended(row: list[int], ends: Sequence[int]) -> tuple[int, ...]:
    first = next((place for place, token in enumerate(row) if token in ends), len(row) - 1)
    return tuple(row[: first + 1])


def _result(asked: Asked, answer: Answer) -> Result:
    return Result(asked.case.id, asked.sample, answer, check(answer, asked.case))
