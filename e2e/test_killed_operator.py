"""kill -9 of the operator at random moments of the story leads to the same end."""

import os
import random
import signal
import threading

import pytest

from tunebird.cli import local, programs
from tunebird.cli.story import play
from tunebird.cli.story.load import Load, Target

SEED = 20260101
pytestmark = pytest.mark.slow


def killer(stage: play.Stage, stop: threading.Event, pauses: list[float], kills: list[float]) -> None:
    """Kill the operator after each pause, and start it again at once."""
    home = stage.cluster.home
    for pause in pauses:
        if stop.wait(pause):
            return
        (operator,) = [program for program in programs.recall(home) if program.name == "operator"]
        os.kill(operator.pid, signal.SIGKILL)
        kills.append(pause)
        local.restart_operator(home)


def test_the_story_ends_the_same_however_often_the_operator_is_killed(trained: play.Stage) -> None:
    chance = random.Random(SEED)
    pauses = [chance.uniform(0.5, 12) for _ in range(12)]
    stop, kills = threading.Event(), list[float]()
    thread = threading.Thread(target=killer, args=(trained, stop, pauses, kills))
    trained.kubectl.run("delete", "modelrollout", "chat", "--ignore-not-found")
    trained.apply("41-chat-v1.yaml")
    thread.start()
    try:
        play.follow(trained, "modelrollout", "chat", 600, lambda _: None)
        with Load(Target(trained.cluster.gateway, "chat", "chat.example.com"), rate=6) as load:
            trained.apply("42-chat-v2.yaml")
            promoted = play.follow(trained, "modelrollout", "chat", 600, lambda _: None)
            trained.apply("43-chat-v3.yaml")
            ended = play.rolled_back(trained, "chat", 600)
    finally:
        stop.set()
        thread.join(90)
    good = promoted["status"]["stable"]["revision"]
    assert kills, "the story was over before the first kill"
    assert ended["status"]["stable"]["revision"] == good
    assert ended["status"]["rollout"]["number"] == promoted["status"]["rollout"]["number"] + 1
    bad = ended["status"]["canary"]["revision"] if ended["status"].get("canary") else None
    assert [sample for sample in load.samples if sample.failed and sample.version in (good, "")] == [], bad
