import pytest

from tunebird_trainer.server.text import Pieces, Stops

LETTERS = {1: b"a", 2: "é".encode()[:1], 3: "é".encode()[1:], 4: b"b"}


def decode(tokens) -> str:
    return b"".join(LETTERS[token] for token in tokens).decode(errors="replace")


def test_a_character_of_two_tokens_comes_with_its_second():
    pieces = Pieces(decode)
    assert [pieces.add(token) for token in (1, 2, 3, 4)] == ["a", "", "é", "b"]


def test_flush_returns_what_stayed_incomplete():
    pieces = Pieces(decode)
    pieces.add(1)
    pieces.add(2)
    assert pieces.flush() == "\ufffd"
    assert pieces.flush() == ""


def test_a_stop_string_across_pieces_is_found_and_not_returned():
    stops = Stops(["END"])
    sent = [stops.add(text) for text in ("so E", "N", "D and more")]
    assert "".join(sent) == "so "
    assert stops.found == "END"


def test_what_only_looked_like_a_stop_is_returned():
    stops = Stops(["END"])
    sent = stops.add("so E") + stops.add("arly") + stops.flush()
    assert sent == "so Early"
    assert stops.found is None


def test_the_earliest_of_several_stops_counts():
    stops = Stops(["late", "early"])
    assert stops.add("early and late") == ""
    assert stops.found == "early"


@pytest.mark.parametrize("text", ["", "plain"])
def test_without_stops_nothing_is_held_back(text: str):
    assert Stops([]).add(text) == text
