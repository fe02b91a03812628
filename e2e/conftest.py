"""Stories end to end: a real local cluster (devplane, Traefik, the operator) and real kubectl, with tiny models."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunebird.cli import local
from tunebird.cli.story import play

ROOT = Path(__file__).resolve().parents[1]
Object = dict[str, Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A story takes as long as its machine makes it: it ends by what it waits for, long before this."""
    for item in items:
        if item.path.is_relative_to(ROOT / "e2e"):
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[play.Stage]:
    """A local cluster with the data set and the tiny base model in its volumes."""
    home = tmp_path_factory.mktemp("cluster")
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "hub"), "OMP_NUM_THREADS": "1"}
    cluster = local.up(local.Options(home, environment=environment), say=print)
    try:
        told = play.Stage(cluster, ROOT / "examples", say=print)
        play.bring_data(told)
        yield told
    finally:
        for name in ("operator", "devplane", "traefik"):
            print(f"--- the end of {name}'s log\n{local.programs.tail(str(home / f'{name}.log'), 40)}")
        local.down(home)


@pytest.fixture(scope="session")
def example() -> Callable[[str], Object]:
    """A manifest of examples/demo, as a value that a story may change."""

    def load(name: str) -> Object:
        document: Object = yaml.safe_load((ROOT / "examples" / "demo" / name).read_text())
        return document

    return load


@pytest.fixture(scope="session")
def trained(stage: play.Stage) -> play.Stage:
    """The cluster after both tiny models were fine-tuned."""
    for version in (1, 2):
        stage.apply(f"2{version}-tiny-v{version}.yaml")
        play.follow(stage, "finetunejob", f"tiny-v{version}", 600, lambda _: None)
    return stage
