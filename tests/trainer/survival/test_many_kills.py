"""Kill after kill at random moments, of one process or of one of two, until each run is through: `make test-long`."""

import os
import random
import shutil

import pytest

from trainer import groups
from trainer.factories import artifact_digest, placed
from trainer.groups import Fate
from trainer.processes import Death

pytestmark = [pytest.mark.long, pytest.mark.timeout(4 * 3600)]
KILLS = int(os.environ.get("TUNEBIRD_KILLS", "100"))
SEED = os.environ.get("TUNEBIRD_SEED", "1")
ONE = {
    "training__maxSteps": 7,
    "training__evaluateEvery": 2,
    "training__schedule": {"type": "cosine", "warmup": 0.3},
    "checkpoint__everySteps": 2,
    "report__everySeconds": 60,
}
TWO = {**ONE, "distributed__processesPerNode": 2, "training__gradientAccumulationSteps": 1}
FULL = {"method__tuning": "full", "method__lora": None, "output__forms": ["merged"]}
RUNS = {
    "lora with dropout": {**ONE, "method__lora__dropout": 0.2},
    "full": {**ONE, **FULL},
    "best of full": {**ONE, **FULL, "training__keepBest": True},
    "two processes": {**TWO, **FULL},
    "ZeRO-2": {**TWO, **FULL, "distributed__zeroStage": 2},
    "ZeRO-3": {**TWO, **FULL, "distributed__zeroStage": 3},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_model):
    """The artifact of each run left alone, and how often each of its processes changed a file."""
    found = {}
    for name, changes in RUNS.items():
        home = tmp_path_factory.mktemp("alone")
        config = placed(home, tiny_model, **changes)
        ranks = range(config["distributed"]["processesPerNode"])
        results = groups.run(config, home, Fate({rank: Death(home, 10**9) for rank in ranks}))
        assert {each.code for each in results} == {0}, groups.logs(results)
        counted = [int((home / f"changes-{rank}.txt").read_text() or 0) for rank in ranks]
        found[name] = artifact_digest(home), counted
    return found


def test_no_kill_changes_the_result(undisturbed, tmp_path, tiny_model):
    draw, kills = random.Random(SEED), 0
    while kills < KILLS:
        name = draw.choice(list(RUNS))
        expected, counted = undisturbed[name]
        home = tmp_path / "killed"
        home.mkdir()
        moments, attempt, codes = [], 0, {groups.KILLED}
        while codes != {0}:
            attempt += 1
            rank = draw.randrange(len(counted))
            # Later attempts are left alone more and more often, so that every run ends.
            moment = draw.randint(1, max(1, counted[rank])) if draw.random() < 2 / attempt else 10**9
            config = placed(home, tiny_model, **RUNS[name], job__attempt=attempt)
            results = groups.run(config, home, Fate({rank: Death(home, moment)}))
            codes = {each.code for each in results}
            assert codes == {0} or groups.KILLED in codes, f"{name}: {moments}\n{groups.logs(results)}"
            kills += codes != {0}
            moments.append((rank, moment))
        assert artifact_digest(home) == expected, f"{name}: killed at {moments} (rank, change)"
        shutil.rmtree(home)
