"""What preference training did to pairs that it did not see, as JSON: the mean reward of chosen and rejected answers,
their margin, and how often the chosen one wins, each with its interval over the pairs.

    preferred.py BASE ADAPTER PAIRS BETA

PAIRS holds rows of conversations, chosen and rejected. A reward is BETA times how much more likely the answer, its end
included, is with the adapter than without it. All in 32-bit floats.
"""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch
from peft import PeftModel

from tunebird_checks import intervals
from tunebird_trainer.evaluation import in_process

ROLES = {"system": "system", "human": "user", "gpt": "assistant"}


def main(base, adapter, pairs, beta):
    torch.set_num_threads(1)
    loaded = in_process.load(Path(base))
    loaded = replace(loaded, model=PeftModel.from_pretrained(loaded.model, adapter).eval())
    rows = [json.loads(line) for line in Path(pairs).read_text(encoding="utf-8").splitlines()]
    rewards = [rewarded(row, loaded, float(beta)) for row in rows]
    margins = [chosen - rejected for chosen, rejected in rewards]
    wins = sum(margin > 0 for margin in margins)
    print(json.dumps({
        "pairs": len(rows),
        "chosen": asdict(intervals.mean([chosen for chosen, _ in rewards])),
        "rejected": asdict(intervals.mean([rejected for _, rejected in rewards])),
        "margin": asdict(intervals.mean(margins)),
        "wins": asdict(intervals.share(wins, len(rows))),
    }))  # fmt: skip


def rewarded(row, loaded, beta):
    turns = [{"role": ROLES[turn["from"]], "content": turn["value"]} for turn in row["conversations"]]
    asked = in_process.chat_prompt(turns, (), loaded)
    answers = [answered(turns, row[which]["value"], len(asked), loaded) for which in ("chosen", "rejected")]
    after = in_process.likelihoods_of(loaded, asked, answers)
    with loaded.model.disable_adapter():
        before = in_process.likelihoods_of(loaded, asked, answers)
    return [beta * (old - new) for old, new in zip(before, after, strict=True)]


def answered(turns, text, asked, loaded):
    """The answer's tokens as the template writes them, the end token included."""
    whole = [*turns, {"role": "assistant", "content": text}]
    written = loaded.tokenizer.apply_chat_template(whole, tokenize=False)
    return in_process.tokens(written, loaded)[asked:]


main(*sys.argv[1:5])
