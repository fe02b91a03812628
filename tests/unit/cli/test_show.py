"""`tunebird status` shows what a person asks first."""

from rich.console import Console

from tunebird.cli.show import tree


def shown(status: dict[str, object]) -> str:
    console = Console(width=160, no_color=True)
    with console.capture() as captured:
        console.print(tree("finetunejob", {"kind": "FineTuneJob", "metadata": {"name": "bot"}, "status": status}))
    return captured.get()


def test_a_missed_gate_is_shown_with_its_interval_and_limit() -> None:
    gate = {"metric": "core.instructionSuccess", "value": "0.91", "low": "0.86", "high": "0.94", "passed": False}
    text = shown({"phase": "Failed", "evaluation": [{**gate, "bound": "minimum", "limit": "0.95"}]})
    assert "core.instructionSuccess  failed  0.91  (0.86 to 0.94)  minimum 0.95" in text


def test_a_metric_without_a_gate_has_no_verdict() -> None:
    text = shown(
        {"phase": "Succeeded", "evaluation": [{"metric": "core.latency", "value": "1", "low": "1", "high": "2"}]}
    )
    assert "core.latency  1  (1 to 2)" in text
