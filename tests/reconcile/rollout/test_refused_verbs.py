"""Verbs on a ModelRollout that nothing can obey: each is refused once, and said to be."""

import pytest

from fakes.rollout import GOOD, Cluster


@pytest.fixture
async def cluster() -> Cluster:
    """A cluster that serves GOOD."""
    made = Cluster()
    await made.start()
    return made


def refusals(cluster: Cluster) -> dict[str, str]:
    return {f"{item['verb']}={item['value']}": item["refusal"] for item in cluster.status["consumedVerbs"]}


async def wrote_nothing(cluster: Cluster) -> bool:
    cluster.kube.writes.clear()
    await cluster.once()
    return cluster.kube.writes == []


async def test_a_verb_while_the_specification_is_invalid_is_refused_once(cluster: Cluster) -> None:
    cluster.change(strategy={"type": "BlueGreen", "steps": []})
    await cluster.run(5)
    cluster.annotate("retry", "1/0/a")
    await cluster.run(10)
    assert "specification is not valid" in refusals(cluster)["retry=1/0/a"]
    assert cluster.reasons().count("VerbIgnored") == 1
    assert cluster.reasons().count("InvalidSpec") == 1
    assert cluster.shares() == {GOOD: 100}
    assert await wrote_nothing(cluster)


async def test_a_verb_that_does_not_exist_is_refused_once(cluster: Cluster) -> None:
    cluster.annotate("bogus", "1")
    await cluster.run(10)
    assert "no such verb" in refusals(cluster)["bogus=1"]
    assert cluster.reasons().count("VerbIgnored") == 1
    assert await wrote_nothing(cluster)


async def test_more_unknown_verbs_than_can_be_remembered_end(cluster: Cluster) -> None:
    for number in range(30):
        cluster.annotate(f"bogus-{number}", "x" * 200)
    await cluster.run(10)
    assert 0 < cluster.reasons().count("VerbIgnored") < 10
    assert await wrote_nothing(cluster)
