"""What containers find in volumes of ConfigMaps, Secrets and the downward API, and what they find there later."""

from __future__ import annotations

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import Raw
from apiserver.clients.stories import Obj, event, in_phase, is_running, pod, script, told

CONFIG = "tasks/configure-pod-container/configure-pod-configmap/"
PROJECTED = "concepts/storage/projected-volumes/"
DOWNWARD = "concepts/workloads/pods/downward-api/"


def make_sources(raw: Raw) -> None:
    raw.made(raw.at("configmaps"), {"metadata": {"name": "a"}, "data": {"x": "ax", "w": "aw"}})
    raw.made(raw.at("configmaps"), {"metadata": {"name": "b"}, "data": {"x": "bx"}})
    raw.made(raw.at("secrets"), {"metadata": {"name": "s"}, "stringData": {"x": "sx", "z": "sz"}})


def mounted(text: str, *volumes: Obj, sub: str = "") -> Obj:
    """A pod with these volumes; `text` finds each one's directory in the variable of its name."""
    mounts = [{"name": one["name"], "mountPath": f"/mounted/{one['name']}"} for one in volumes]
    env = [{"name": one["name"], "value": f"/mounted/{one['name']}"} for one in volumes]
    if sub:
        mounts.append({"name": volumes[0]["name"], "mountPath": "/sub/x", "subPath": sub})
        env.append({"name": "sub", "value": "/sub/x"})
    return pod(script(text, volumeMounts=mounts, env=env), volumes=list(volumes))


def said(raw: Raw, body: Obj) -> list[str]:
    with told(raw, "pods", body) as story:
        story.until(in_phase("Succeeded"))
    log: bytes = raw.get(raw.at("pods", "p", "log")).body
    return log.decode().splitlines()


@docs(PROJECTED, f"{CONFIG}#add-configmap-data-to-a-specific-path-in-the-volume")
def test_files_have_their_modes_and_the_last_source_wins(raw: Raw) -> None:
    make_sources(raw)
    items = [{"key": "x", "path": "d/x"}, {"key": "w", "path": "w", "mode": 0o755}]
    name = {"path": "w", "fieldRef": {"fieldPath": "metadata.name"}}
    sources = [
        {"configMap": {"name": "a"}},
        {"configMap": {"name": "b"}},
        {"secret": {"name": "s", "items": [{"key": "z", "path": "sub/z"}]}},
        {"downwardAPI": {"items": [name]}},
    ]
    lines = said(
        raw,
        mounted(
            "cd $items; stat -L -c '%n %a' d/x w .; cd $both; cat x w sub/z; stat -L -c ' %a' x .",
            {"name": "items", "configMap": {"name": "a", "defaultMode": 0o400, "items": items}},
            {"name": "both", "projected": {"defaultMode": 0o440, "sources": sources}},
        ),
    )
    assert lines == ["d/x 400", "w 755", ". 777", "bxpsz 440", " 1777"]


@docs(f"{CONFIG}#optional-references", "concepts/configuration/secret/#restriction-secret-must-exist")
def test_optional_sources_that_are_not_there_leave_no_file(raw: Raw) -> None:
    make_sources(raw)
    some = {"secretName": "s", "optional": True, "items": [{"key": "none", "path": "none"}, {"key": "x", "path": "x"}]}
    lines = said(
        raw,
        mounted(
            "echo $(ls $none); echo $(ls $some)",
            {"name": "none", "configMap": {"name": "none", "optional": True}},
            {"name": "some", "secret": some},
        ),
    )
    assert lines == ["", "x"]


@docs(f"{DOWNWARD}#available-fields")
@source("pkg/kubelet/types/pod_update.go")
def test_annotations_tell_where_the_kubelet_has_the_pod_from(raw: Raw) -> None:
    files = [{"path": "all", "fieldRef": {"fieldPath": "metadata.annotations"}}]
    body = mounted("sed 's/seen=.*/seen/' $dw/all; echo", {"name": "dw", "downwardAPI": {"items": files}})
    body["metadata"]["annotations"] = {"note": 'with "quotes"'}
    seen, source_of_pod, note = said(raw, body)
    assert (seen, source_of_pod) == ("kubernetes.io/config.seen", 'kubernetes.io/config.source="api"')
    assert note == r'note="with \"quotes\""'


@docs(f"{CONFIG}#mounted-configmaps-are-updated-automatically")
def test_contents_follow_their_sources_but_those_of_a_sub_path(raw: Raw) -> None:
    make_sources(raw)
    labels = {"name": "dw", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
    until_new = 'until [ "$(cat $a/x)" = new ] && grep -q later $dw/l && [ ! -e $a/w ]; do sleep 0.1; done; '
    body = mounted(f"{until_new} cat $sub; echo; ls $a", {"name": "a", "configMap": {"name": "a"}}, labels, sub="x")
    with told(raw, "pods", body) as story:
        story.until(is_running())
        change = {"data": {"x": "new", "w": None}}
        assert raw.ask("PATCH", raw.at("configmaps", "a"), change, "application/merge-patch+json").code == 200
        story.change({"metadata": {"labels": {"when": "later"}}})
        story.until(in_phase("Succeeded"))
    assert raw.get(raw.at("pods", "p", "log")).body == b"ax\nx\n"


@docs(f"{CONFIG}#mounted-configmaps-are-updated-automatically")
def test_content_whose_source_is_gone_stays_and_is_told_of(raw: Raw) -> None:
    make_sources(raw)
    body = mounted("until [ -e $w/x ]; do sleep 0.1; done; sleep 3600", {"name": "w", "secret": {"secretName": "s"}})
    with told(raw, "pods", body) as story:
        story.until(is_running())
        assert raw.ask("DELETE", raw.at("secrets", "s")).code == 200
        story.change({"metadata": {"labels": {"when": "later"}}})
        expected = 'MountVolume.SetUp failed for volume "w" : secret "s" not found'
        assert event(raw, "FailedMount", "p")["message"] == expected
        assert is_running()(story.states[-1])
