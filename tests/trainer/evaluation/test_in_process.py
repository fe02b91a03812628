"""The model in this process gives the answers that the server gives, and likelihoods are what they should be."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tunebird_checks
from tunebird_checks import results as running
from tunebird_checks.chat import Generation, Target
from tunebird_trainer.evaluation import in_process

SOURCE = Path(__file__).parents[3] / "trainer_image"


@pytest.fixture(scope="module")
def loaded(tiny_model):
    return in_process.load(tiny_model)


def suite(tmp_path, count=10, **fields):
    questions = ["Where is my parcel?", "How do I reset my password, and why?", "Good morning!"]
    rows = [
        {
            "id": str(n),
            "prompt": f"{questions[n % 3]} {n}",
            "checks": [{"type": "length", "minCharacters": 1}],
            **fields,
        }
        for n in range(count)
    ]
    path = tmp_path / "suite.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tunebird_checks.load(path)


@pytest.fixture
def served(tiny_model):
    """The real server of the tiny model, on loopback."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tunebird_trainer.server", "--port", "0", "--drain-delay", "0s",
               "--model-uri", f"file://{tiny_model}"]  # fmt: skip
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    found = next((hit for line in process.stderr if (hit := re.search(r"Listening host=\S+ port=(\d+)", line))), None)
    assert found, "the server ended before it listened"
    yield f"http://127.0.0.1:{found[1]}"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=100)


def test_the_server_and_this_process_give_the_same_greedy_answers(tmp_path, loaded, served):
    asked, how = suite(tmp_path), Generation(max_tokens=24)
    here, _ = in_process.answers(asked, loaded, how, lambda: None)
    target = Target(served, concurrency=2, retries=8)  # answers 503 until its model is loaded
    there, _ = asyncio.run(running.asked(asked, target, how))
    assert [(each.case, each.answer.text, each.answer.finish_reason, each.answer.tokens) for each in here] == [
        (each.case, each.answer.text, each.answer.finish_reason, each.answer.tokens) for each in there
    ]
    assert any(each.answer.text for each in here)


def test_an_answer_does_not_depend_on_its_neighbours_in_the_batch(tmp_path, loaded):
    asked = suite(tmp_path, 9)
    prompts = [in_process.chat_prompt(case.turns, (), loaded) for case in asked.cases]
    how = Generation(max_tokens=12)
    together = in_process.generated(prompts, loaded, how, seed=0)
    alone = [in_process.generated([prompt], loaded, how, seed=0)[0] for prompt in prompts]
    assert together == alone


def test_sampling_follows_its_seed(tmp_path, loaded):
    asked, how = suite(tmp_path, 3), Generation(temperature=1.0, max_tokens=12, samples=2, seed=5)

    def texts(seed):
        generation = Generation(1.0, 12, 2, seed)
        return [each.answer.text for each in in_process.answers(asked, loaded, generation, lambda: None)[0]]

    assert texts(how.seed) == texts(how.seed)
    assert texts(how.seed) != texts(6)
    assert len(texts(how.seed)) == 6


def test_sampling_leaves_the_random_state_as_it_was(tmp_path, loaded):
    before = torch.get_rng_state()
    in_process.answers(suite(tmp_path, 2), loaded, Generation(1.0, 4), lambda: None)
    assert torch.equal(before, torch.get_rng_state())


def test_a_prompt_that_does_not_fit_is_no_answer(tmp_path, loaded):
    ((result, *_), _) = in_process.answers(suite(tmp_path, 1), loaded, Generation(max_tokens=10**6), lambda: None)
    assert "don't fit" in result.answer.error
    assert result.verdicts[0].outcome is tunebird_checks.Outcome.INCONCLUSIVE


def test_likelihoods_of_padded_texts_are_those_of_each_alone(loaded):
    prompt = in_process.tokens("Good morning", loaded)
    texts = [in_process.tokens(text, loaded) for text in ("yes", "the parcel has not arrived yet", "no!")]
    together = in_process.likelihoods_of(loaded, prompt, texts)
    alone = [in_process.likelihood(loaded, [*prompt, *t], [-100] * len(prompt) + list(t)) for t in texts]
    assert together == pytest.approx(alone, rel=1e-4)


def test_the_reference_of_a_case_gets_its_likelihood(tmp_path, loaded):
    asked = suite(tmp_path, 2, reference="It left on Monday.")
    answers, _ = in_process.answers(asked, loaded, Generation(max_tokens=2), lambda: None)
    first, _ = in_process.with_references(asked, answers, loaded, lambda: None)
    prompt, text = (
        in_process.chat_prompt(asked.cases[0].turns, (), loaded),
        in_process.tokens("It left on Monday.", loaded),
    )
    assert first.nll == pytest.approx(in_process.likelihoods_of(loaded, prompt, [text])[0])
    assert first.nll_tokens == len(text)
