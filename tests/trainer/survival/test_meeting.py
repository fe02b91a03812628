"""How the processes of a run find each other, and how they notice that they don't belong together."""

import pytest
import torch

from trainer.factories import config
from tunebird_trainer import config_file
from tunebird_trainer.outcome import ExitCode, Failure, Reason
from tunebird_trainer.survival import group, launch
from tunebird_trainer.survival.group import Patience


def parsed(**changes):
    return config_file.parse(config(**changes))


@pytest.fixture
def second_of_two(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    return torch.distributed.HashStore()


def arrive(store, rank, identity="2 processes, config a"):
    store.add(f"came/{rank}", 1)
    store.set(f"identity/{rank}", identity)


def refusal(store, identity="2 processes, config a", seconds=30.0, stop=lambda: False):
    with pytest.raises(Failure) as caught:
        group.roll_call(store, identity, Patience(seconds, stop))
    return caught.value


def test_all_who_are_of_one_run_go_on(second_of_two):
    arrive(second_of_two, 0)
    group.roll_call(second_of_two, "2 processes, config a", Patience(30, lambda: False))


def test_another_number_of_processes_stops_both_at_once(second_of_two):
    arrive(second_of_two, 0, "4 processes, config a")
    failure = refusal(second_of_two)
    assert (failure.reason, failure.exit_code) == (Reason.INVALID_CONFIG, ExitCode.CONFIG)
    assert "2 processes, config a is not 4 processes, config a" in failure.message
    assert second_of_two.get("refused").decode() == failure.message, "the others read it"


def test_process_0_does_not_go_on_before_the_one_that_differs_has_said_so(second_of_two, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    arrive(second_of_two, 1, "2 processes, config b")
    second_of_two.set("heard/1", "")
    assert "process 1 is of another run than process 0" in refusal(second_of_two).message


def test_process_0_keeps_the_store_until_the_others_have_heard_why(second_of_two, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    arrive(second_of_two, 1, "2 processes, config b")
    monkeypatch.setattr(group.time, "sleep", lambda _: second_of_two.set("heard/1", "now"))
    refusal(second_of_two)
    assert second_of_two.check(["heard/1"]), "it slept, and looked again"


def test_a_lost_process_0_is_named(second_of_two, monkeypatch):
    def lost(*_):
        raise torch.distributed.DistNetworkError("Connection was likely closed")

    monkeypatch.setattr(torch.distributed.HashStore, "add", lost)
    failure = refusal(second_of_two)
    assert (failure.reason, failure.exit_code) == (Reason.RENDEZVOUS_TIMEOUT, ExitCode.RENDEZVOUS)
    assert failure.message.startswith("process 1 lost process 0 before all had come (Connection was likely closed)")


def test_who_was_refused_elsewhere_hears_why(second_of_two):
    arrive(second_of_two, 0)
    second_of_two.set("refused", "two processes came as number 0")
    assert refusal(second_of_two).message == "two processes came as number 0"


def test_two_nodes_of_one_rank_are_refused(second_of_two):
    arrive(second_of_two, 0)
    arrive(second_of_two, 1)
    assert "give each node its own NODE_RANK" in refusal(second_of_two).message


def test_who_does_not_come_is_named(second_of_two):
    failure = refusal(second_of_two, seconds=0)
    assert (failure.reason, failure.exit_code) == (Reason.RENDEZVOUS_TIMEOUT, ExitCode.RENDEZVOUS)
    assert failure.message.startswith("process 0 of 2 did not come within 0 s")


def test_sigterm_ends_the_waiting(second_of_two):
    assert refusal(second_of_two, stop=lambda: True).reason is Reason.PREEMPTED


def test_fewer_processes_than_asked_for_are_refused_by_each(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    asked = parsed(distributed__processesPerNode=2, training__globalBatchSize=8)
    with pytest.raises(Failure, match="asks for 2 processes and 1 were started"):
        group.check_size(asked)


def test_one_node_needs_nothing_from_outside():
    here = launch.place(parsed(), {})
    assert (here.node, here.address) == (0, "127.0.0.1")
    assert launch.group(parsed(), here, 0) == {}


def test_an_indexed_job_and_the_operators_address_place_a_node():
    asked = parsed(distributed__numNodes=2, distributed__processesPerNode=2, training__globalBatchSize=16)
    here = launch.place(asked, {"JOB_COMPLETION_INDEX": "1", "TUNEBIRD_MASTER_ADDR": "job-0.job.ml"})
    assert here == launch.Place(1, "job-0.job.ml", launch.DEFAULT_PORT)
    told = launch.group(asked, here, 1)
    assert (told["RANK"], told["LOCAL_RANK"], told["WORLD_SIZE"], told["MASTER_ADDR"]) == (
        "3",
        "1",
        "4",
        "job-0.job.ml",
    )


def test_zero_on_one_process_is_a_group_of_one():
    asked = parsed(distributed__zeroStage=2)
    assert launch.group(asked, launch.place(asked, {}), 0)["WORLD_SIZE"] == "1"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MASTER_ADDR": "a"}, "neither NODE_RANK nor JOB_COMPLETION_INDEX is set; give each node its own from 0 to 1"),
        ({"NODE_RANK": "2", "MASTER_ADDR": "a"}, "NODE_RANK is '2'"),
        ({"NODE_RANK": "1"}, "MASTER_ADDR is not set"),
    ],
)
def test_a_node_that_does_not_know_its_place_is_told_what_is_missing(environment, said):
    asked = parsed(distributed__numNodes=2, training__globalBatchSize=8)
    with pytest.raises(Failure) as caught:
        launch.place(asked, environment)
    assert said in caught.value.message
