"""The pytest plugin in somebody else's project: no conftest, no path, three lines of test."""

from __future__ import annotations

from fnmatch import fnmatch
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from devplane.pytest_plugin import ControlPlane

pytest_plugins = ["pytester"]

THREE_LINES = """
def test_config_map(devplane, devplane_namespace):
    made = CoreV1Api(devplane.client()).create_namespaced_config_map(devplane_namespace, {"metadata": {"name": "one"}})
    assert made.metadata.namespace == devplane_namespace
"""

IMPORTS = "from kubernetes.client import BatchV1Api, CoreV1Api\n"

LEFT_BEHIND = """
made = []

def test_one(devplane_namespace):
    made.append(devplane_namespace)

def test_two(devplane, devplane_namespace):
    core = CoreV1Api(devplane.client())
    assert devplane_namespace != made[0]
    old = [one for one in core.list_namespace().items if one.metadata.name == made[0]]
    assert not old or old[0].status.phase == "Terminating"
"""

OPTIONS = """
import time

def test_nodes_and_images(devplane, devplane_namespace):
    core = CoreV1Api(devplane.client())
    assert sorted(node.metadata.name for node in core.list_node().items) == ["n1", "n2"]
    container = {"name": "c", "image": "greeter:1", "args": ["hello"]}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [container], "restartPolicy": "Never"}}
    core.create_namespaced_pod(devplane_namespace, pod)
    deadline = time.monotonic() + 60
    while core.read_namespaced_pod("p", devplane_namespace).status.phase != "Succeeded":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert core.read_namespaced_pod_log("p", devplane_namespace) == "hello\\n"

def test_faults(devplane, devplane_namespace):
    devplane.faults.set({"fault": "refuse", "code": 503, "resources": ["secrets"]})
    try:
        CoreV1Api(devplane.client()).list_namespaced_secret(devplane_namespace)
    except Exception as error:
        assert error.status == 503
    assert devplane.faults.struck() == [1]

def test_faults_of_another_test_are_over(devplane, devplane_namespace):
    CoreV1Api(devplane.client()).list_namespaced_secret(devplane_namespace)
"""

ELSEWHERE = """
def test_where_it_runs(devplane, devplane_namespace):
    assert not devplane.is_devplane
    assert devplane.url == {url!r}
    CoreV1Api(devplane.client()).list_namespaced_pod(devplane_namespace)

def test_faults(devplane):
    devplane.faults.clear()
"""

OVERRIDE = """
import pytest
from devplane.pytest_plugin import DevplaneOptions

class Odd(DevplaneOptions):
    def arguments(self):
        return ["--port", "no"]

@pytest.fixture(scope="session")
def devplane_options():
    return {options}
"""

WRONG = "def test_it(devplane): pass\n"


@pytest.fixture
def foreign(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project that has devplane installed and knows nothing of this one."""
    for name in ("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "TUNEBIRD_TEST_KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    return pytester


def run(foreign: pytest.Pytester, test: str, *options: str | Path) -> pytest.RunResult:
    foreign.makepyfile(test_theirs=IMPORTS + test)
    others = [word for plugin in ("cacheprovider", "schemathesis", "xdist") for word in ("-p", f"no:{plugin}")]
    return foreign.runpytest_subprocess(*others, *options, timeout=120)


def test_it_is_announced_to_pytest() -> None:
    (found,) = entry_points(group="pytest11", name="devplane")
    assert found.value == "devplane.pytest_plugin"


def test_three_lines_of_test_are_enough(foreign: pytest.Pytester) -> None:
    run(foreign, THREE_LINES).assert_outcomes(passed=1)


def test_each_test_has_a_namespace_that_is_deleted_after_it(foreign: pytest.Pytester) -> None:
    run(foreign, LEFT_BEHIND).assert_outcomes(passed=2)


def test_options_declare_nodes_and_images(foreign: pytest.Pytester) -> None:
    table = foreign.path / "images.yaml"
    table.write_text('images: [{image: "greeter:*", entrypoint: [echo]}]')
    run(foreign, OPTIONS, "--devplane-images", table, "--devplane-nodes", "2").assert_outcomes(passed=3)


def test_the_same_tests_run_on_a_cluster_that_is_there(foreign: pytest.Pytester, devplane: ControlPlane) -> None:
    test = ELSEWHERE.format(url=devplane.url)
    run(foreign, test, "--devplane-kubeconfig", devplane.kubeconfig).assert_outcomes(passed=1, skipped=1)


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--devplane-kubeconfig", "none.yaml", " none.yaml: no such file; leave the option out to start devplane"),
        ("--devplane-images", "none.yaml", ": image table none.yaml: No such file or directory; give the path of *"),
        ("--devplane-images", "wrong.yaml", ": image table wrong.yaml: unknown field 'pictures'; the only field is *"),
        ("--devplane-nodes", "0", " 0: give 1 to 100"),
    ],
)
def test_option_that_can_not_be_meant_is_told_of_in_one_line(
    foreign: pytest.Pytester, option: str, value: str, why: str
) -> None:
    (foreign.path / "wrong.yaml").write_text("pictures: []")
    done = run(foreign, WRONG, option, value)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    [line] = [one for one in done.errlines if one]
    assert fnmatch(line, f"ERROR: {option}{why}")


def test_what_a_conftest_asks_for_and_can_not_be_is_told_without_a_traceback(foreign: pytest.Pytester) -> None:
    foreign.makeconftest(OVERRIDE.format(options="DevplaneOptions(nodes=101)"))
    done = run(foreign, WRONG)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["--devplane-nodes 101: give 1 to 100"])
    done.stdout.no_fnmatch_line("Traceback*")


def test_why_it_did_not_start_is_told(foreign: pytest.Pytester) -> None:
    foreign.makeconftest(OVERRIDE.format(options="Odd()"))
    done = run(foreign, WRONG)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["devplane ended with code 2: *--port*"])


def test_kubeconfig_that_is_none_is_told_of_without_a_traceback(foreign: pytest.Pytester) -> None:
    (foreign.path / "empty.yaml").write_text("{}")
    done = run(foreign, WRONG, "--devplane-kubeconfig", "empty.yaml")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["--devplane-kubeconfig empty.yaml: Invalid kube-config file. *"])


def test_a_project_without_such_tests_starts_nothing(foreign: pytest.Pytester) -> None:
    done = run(foreign, "def test_it(): pass\n", "--setup-show")
    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("*devplane*SETUP*")
