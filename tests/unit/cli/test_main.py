"""Which cluster and namespace are meant is said before or after the command, as with kubectl."""

import click
import pytest
from click.testing import CliRunner

from tunebird.cli.kubectl import Kubectl
from tunebird.cli.main import main


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Kubectl]:
    """What kubectl would have been asked with; every question fails."""
    found: list[Kubectl] = []

    def run(self: Kubectl, *_: str, **__: str) -> str:
        found.append(self)
        raise click.ClickException("no cluster")

    monkeypatch.setattr(Kubectl, "run", run)
    return found


@pytest.mark.parametrize(
    "words",
    [
        ["-n", "ml", "--context", "a", "--kubeconfig", "f", "COMMAND"],
        ["COMMAND", "-n", "ml", "--context", "a", "--kubeconfig", "f"],
        ["-n", "other", "--context", "a", "COMMAND", "--namespace=ml", "--kubeconfig=f"],
    ],
)
@pytest.mark.parametrize(
    "command", [["explain", "x"], ["status", "x"], ["logs", "x"], ["wait", "x"], ["promote", "x"], ["list"]]
)
def test_options_of_the_cluster_stand_on_either_side(
    asked: list[Kubectl], words: list[str], command: list[str]
) -> None:
    at = words.index("COMMAND")
    done = CliRunner().invoke(main, [*words[:at], *command, *words[at + 1 :]])
    assert "no cluster" in done.output
    assert asked == [Kubectl("ml", "a", "f")]
