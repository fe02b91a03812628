import random

import pytest

from tunebird_trainer.data import content, duplicates
from tunebird_trainer.data.examples import Conversation, Document, Message, Preference
from tunebird_trainer.data.work import Desk, Entry, Ledger, Work

pytest.importorskip("datasketch")

VOCABULARY = [f"word{n}" for n in range(2000)]


@pytest.fixture
def desk(tmp_path):
    work = Work(tmp_path / "examples.jsonl")
    yield Desk(None, work, Ledger(), None)
    work.close()


def entries(desk, texts):
    return [Entry(desk.work.add(f"set/{n}", Document(text)), 0, b"", b"") for n, text in enumerate(texts)]


def kept(desk, texts, threshold):
    stays, shown = duplicates.without_near(entries(desk, texts), threshold, desk)
    return [desk.work.at(entry.place)[0] for entry in stays], shown


def families(draw, count, words=60):
    """Each text, and a copy with a few words changed."""
    for _ in range(count):
        text = draw.choices(VOCABULARY, k=words)
        changed = list(text)
        for place in draw.sample(range(words), draw.randint(1, 4)):
            changed[place] = draw.choice(VOCABULARY)
        yield " ".join(text)
        yield " ".join(changed)


def test_what_is_dropped_is_as_similar_as_asked_and_what_is_kept_is_not(desk):
    """Against comparing all pairs: no false positive, and at most one in fifty missed by the index."""
    draw = random.Random(3)
    texts = list(families(draw, 120))
    sets = [duplicates.shingles(content.normal(text)) for text in texts]
    for threshold in (0.5, 0.7):
        stays, _ = kept(desk, texts, threshold)
        chosen = [int(name.removeprefix("set/")) for name in stays]
        dropped = set(range(len(texts))) - set(chosen)
        for one in dropped:
            assert max(duplicates.jaccard(sets[one], sets[other]) for other in chosen if other < one) >= threshold
        close = [one for place, one in enumerate(chosen) for other in chosen[:place]
                 if duplicates.jaccard(sets[one], sets[other]) >= threshold]  # fmt: skip
        assert len(close) <= len(dropped) / 50
        assert dropped


def test_near_duplicates_are_the_same_each_time(desk, tmp_path):
    texts = list(families(random.Random(5), 40))
    other = Desk(None, Work(tmp_path / "other.jsonl"), Ledger(), None)
    assert kept(desk, texts, 0.6) == kept(other, texts, 0.6)
    other.work.close()


def test_short_rows_are_compared_by_characters(desk):
    stays, _ = kept(desk, ["How do I reset my password?", "how do i reset my  password", "How do I pay my bill?"], 0.8)
    assert stays == ["set/0", "set/2"]


def test_a_threshold_of_one_drops_only_equal_texts(desk):
    stays, shown = kept(desk, ["Same words here", "same  WORDS here", "same words there"], 1.0)
    assert stays == ["set/0", "set/2"]
    assert shown == [{"dropped": "set/1", "kept": "set/0", "similarity": 1.0}]


def test_preferences_are_compared_by_prompt_and_chosen_answer(desk):
    def pair(rejected):
        chosen = Message("assistant", "Take the second road on the left")
        return Preference((Message("user", "Which way to the station?"),), (chosen,), (Message("assistant", rejected),))

    rows = [Entry(desk.work.add(f"set/{n}", pair(text)), 0, b"", b"") for n, text in enumerate(("No.", "Go away now."))]
    stays, _ = duplicates.without_near(rows, 0.9, desk)
    assert len(stays) == 1


def test_a_chain_of_neighbours_keeps_the_first_and_what_is_far_from_it(desk):
    words = VOCABULARY[:50]
    chain = [" ".join([f"other{n}" for n in range(shift)] + words[shift:]) for shift in (0, 6, 12, 40)]
    stays, _ = kept(desk, chain, 0.75)
    assert stays[0] == "set/0"
    assert "set/1" not in stays
    assert "set/3" in stays


def test_a_conversation_is_compared_whole():
    talk = Conversation((Message("user", "Hi  There"), Message("assistant", "HELLO")))
    assert content.compared(talk) == "hi there hello"
