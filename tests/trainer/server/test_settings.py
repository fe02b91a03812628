import pytest

from tunebird_trainer.server.settings import InvalidArguments, read, termination_log

MODEL = ["--model-uri", "file:///models/a"]


def test_durations_and_shares_become_numbers():
    given = read([*MODEL, "--inject-errors", "30%", "--inject-delay", "200ms", "--inject-cut", "2.5%"])
    assert (given.faults.errors, given.faults.delay, given.faults.cuts) == (0.3, 0.2, 0.025)


def test_the_served_name_defaults_to_the_uri():
    assert read(MODEL).model_name == "file:///models/a"


def test_requests_in_flight_may_take_as_long_as_any_grace_period_of_the_operator():
    assert read(MODEL).shutdown_timeout >= 900


def test_faults_are_off_unless_asked_for():
    faults = read(MODEL).faults
    assert (faults.errors, faults.delay, faults.cuts) == (0, 0, 0)


@pytest.mark.parametrize(
    ("argument", "value", "told"),
    [
        ("--inject-errors", "0.3", "write it like 5%"),
        ("--inject-errors", "130%", "between 0% and 100%"),
        ("--inject-delay", "200", "write it like 200ms"),
        ("--port", "70000", "not a port"),
        ("--max-num-seqs", "0", "not a whole number above 0"),
    ],
)
def test_a_bad_value_is_refused_with_what_would_be_accepted(argument: str, value: str, told: str):
    with pytest.raises(InvalidArguments, match=told) as refused:
        read([*MODEL, argument, value])
    assert argument in str(refused.value)
    assert value in str(refused.value)


def test_a_missing_model_is_named():
    with pytest.raises(InvalidArguments, match="--model-uri"):
        read([])


def test_the_termination_log_is_where_the_environment_says():
    assert termination_log({"TUNEBIRD_TERMINATION_LOG": "/tmp/last-word"}) == "/tmp/last-word"
