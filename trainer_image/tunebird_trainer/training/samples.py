"""Answers to a few fixed prompts in the course of training: greedy, so that no random number is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from tunebird_trainer.survival import group
from tunebird_trainer.training import randomness

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunebird_trainer.config import Samples


class Sampler(TrainerCallback):
    """Process 0 answers, the others wait: each step after it is a common one."""

    def __init__(self, asked: Samples, tokenizer: Any, record: Callable[[dict[str, Any]], None]) -> None:
        self.asked, self.tokenizer, self.record = asked, tokenizer, record

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        if self.asked.every_steps is None or state.global_step % self.asked.every_steps:
            return
        if state.is_world_process_zero:
            answers = generated(model, self.tokenizer, self.asked)
            self.record({"step": state.global_step, "samples": answers})
            for each in answers:
                print(f"sample: step {state.global_step}  {each['prompt']!r} -> {each['answer']!r}", flush=True)
        group.barrier()


def generated(model: Any, tokenizer: Any, asked: Samples) -> list[dict[str, str]]:
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), randomness.kept():
            return [{"prompt": each, "answer": _answer(model, tokenizer, each, asked)} for each in asked.prompts]
    finally:
        model.train(training)


def _answer(model: Any, tokenizer: Any, prompt: str, asked: Samples) -> str:
    words = prompt
    if tokenizer.chat_template:
        turn = [{"role": "user", "content": prompt}]
        words = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    inputs = tokenizer(words, add_special_tokens=not tokenizer.chat_template, return_tensors="pt").to(model.device)
    ids = model.generate(
        input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=asked.max_tokens,
        do_sample=False, use_cache=True, pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
    )  # fmt: skip
    text: str = tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return text
