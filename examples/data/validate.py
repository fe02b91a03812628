"""Checks files of chat rows for fine-tuning: form, turns, lengths, duplicates, personal data, placeholders, endings.

    python examples/data/validate.py examples/data/support.jsonl examples/data/heldout.suite.jsonl

Of a suite, each case with its reference answer is a row. A row that says nearly the same as one of an earlier file is a
fault, so what is held out goes last. Prints one line per fault with its row and exits 1, or says how many rows passed.
Needs nothing but Python.
"""

import argparse
import contextlib
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROLES = ("user", "assistant")
LONGEST_TURN = 1200  # characters; a longer answer is not concise
SHORTEST = {"user": 4, "assistant": 20}
NEAR = 0.6  # share of common word triples above which two rows say the same

PERSONAL = {
    "an email address": re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+"),
    "a phone number": re.compile(r"(?<![\w.])\+?\d{2,4}[ /-]\d{3,4}[ /-]\d{3,}"),
    "a card number": re.compile(r"\b(?:\d[ -]?){13,19}\b"),
    "a public IP address": re.compile(r"\b(?!127\.|10\.|192\.168\.|0\.)(?:\d{1,3}\.){3}\d{1,3}\b"),
    "a key": re.compile(r"\b(?:hf_|sk-|ghp_|AKIA)\w{8,}|-----BEGIN"),
    "a person's title": re.compile(r"\b(?:Mr|Mrs|Ms|Dr)\.? [A-Z][a-z]+"),
}
PLACEHOLDER = re.compile(r"\b(?:TODO|FIXME|XXX|lorem ipsum|TBD)\b|<insert|\[your |\{\{", re.IGNORECASE)
BOILERPLATE = re.compile(r"\bas an ai\b|\blanguage model,? i\b|\bi hope this helps\b", re.IGNORECASE)
_COMMON = (
    "a an the is are was be to of in on for with and or not it that this you your i my we our what how why can do does "
    "if as at by from has have more no than then there they when where which who will all its one so only each "
    "same other most about after before because both until while does goes up out into once back"
)
ENGLISH = frozenset(_COMMON.split())


@dataclass(frozen=True)
class Row:
    """One line of the file. `turns` are (role, content) in order."""

    line: int
    turns: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        return "\n".join(content for _, content in self.turns)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="file")
    earlier: list[tuple[Path, str]] = []
    failed = False
    for path in parser.parse_args().files:
        text = path.read_text(encoding="utf-8")
        found = [*faults(text), *(fault for other in earlier for fault in between(*other, text))]
        for fault in found:
            print(f"{path}:{fault}")
        if not found:
            print(f"{path}: {len(text.splitlines())} rows, no faults")
        failed = failed or bool(found)
        earlier.append((path, text))
    return 1 if failed else 0


def faults(text: str) -> Iterator[str]:
    """Every fault of a JSON Lines text as `LINE: what is wrong`."""
    rows: list[Row] = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            rows.append(Row(number, parsed(line)))
        except ValueError as error:
            yield f"{number}: {error}"
    for row in rows:
        for fault in itertools.chain(order(row), *(turn(role, content) for role, content in row.turns)):
            yield f"{row.line}: {fault}"
    yield from duplicates(rows)


def between(earlier: Path, before: str, text: str) -> Iterator[str]:
    """Rows of a text that say nearly the same as one of an earlier file. Lines that are no rows have been told."""
    known = [(row, triples(row.text)) for row in well_formed(before)]
    for row in well_formed(text):
        these = triples(row.text)
        for other, those in known:
            if alike(these, those):
                yield f"{row.line}: says nearly the same as {earlier}:{other.line}"


def well_formed(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), start=1):
        with contextlib.suppress(ValueError):
            yield Row(number, parsed(line))


def parsed(line: str) -> tuple[tuple[str, str], ...]:
    """Raises ValueError if the line is not one object with `messages` of role and content, and nothing else, or a
    suite's case with a reference answer."""
    row = json.loads(line)
    if isinstance(row, dict) and isinstance(row.get("reference"), str):
        asked = row["messages"] if "messages" in row else [{"role": "user", "content": row.get("prompt")}]
        row = {"messages": [*asked, {"role": "assistant", "content": row["reference"]}]}
    if not isinstance(row, dict) or set(row) != {"messages"} or not isinstance(row["messages"], list):
        raise ValueError("a row is an object with the one key `messages`, a list")
    for message in row["messages"]:
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise ValueError("a message has the keys `role` and `content`, and no others")
        if not all(isinstance(value, str) for value in message.values()):
            raise ValueError("role and content are strings")
    return tuple((message["role"], message["content"]) for message in row["messages"])


def order(row: Row) -> Iterator[str]:
    roles = [role for role, _ in row.turns]
    if not roles or len(roles) % 2 or any(role != ROLES[index % 2] for index, role in enumerate(roles)):
        yield f"roles must alternate user, assistant and end with assistant, not {roles}"


def turn(role: str, content: str) -> Iterator[str]:
    if not SHORTEST.get(role, 1) <= len(content) <= LONGEST_TURN:
        yield f"{role} turn of {len(content)} characters is outside {SHORTEST.get(role, 1)} to {LONGEST_TURN}"
    if content != content.strip():
        yield f"{role} turn begins or ends with white space"
    if not content.isascii():
        yield f"{role} turn has characters beyond ASCII: {sorted({one for one in content if not one.isascii()})}"
    for name, pattern in PERSONAL.items():
        if match := pattern.search(content):
            yield f"{role} turn holds what looks like {name}: {match[0]!r}"
    if match := PLACEHOLDER.search(content):
        yield f"{role} turn holds a placeholder: {match[0]!r}"
    if role == "assistant":
        yield from answer(content)


def answer(content: str) -> Iterator[str]:
    if match := BOILERPLATE.search(content):
        yield f"answer holds boilerplate: {match[0]!r}"
    if is_json(content):
        return
    if content.count("```") % 2:
        yield "answer leaves a code block open"
    if not content.endswith((".", "?", "!", "```")):
        yield f"answer ends in the middle: …{content[-30:]!r}"
    prose = re.sub(r"```.*?```|`[^`]*`", " ", content, flags=re.DOTALL)
    words = re.findall(r"[a-z']+", prose.lower())
    if len(words) >= 8 and sum(word in ENGLISH for word in words) < len(words) / 6:
        yield "answer does not read like English prose"
    if sentences(prose) > 8:
        yield f"answer of {sentences(prose)} sentences is too long"


def is_json(content: str) -> bool:
    """An object is whole by itself and no prose."""
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False


def sentences(prose: str) -> int:
    return len(re.findall(r"[.?!](?=\s|$)", prose))


def duplicates(rows: Iterable[Row]) -> Iterator[str]:
    """Equal questions, equal answers and rows that share most of their word triples."""
    seen: dict[str, int] = {}
    for row in rows:
        for role, content in (row.turns[0], row.turns[-1]) if row.turns else ():
            key = f"{role}: {' '.join(words_of(content))}"
            if key in seen:
                yield f"{row.line}: same {role} turn as line {seen[key]}"
            seen[key] = row.line
    yield from near_duplicates([(row, triples(row.text)) for row in rows])


def near_duplicates(rows: list[tuple[Row, frozenset[tuple[str, ...]]]]) -> Iterator[str]:
    for (one, these), (other, those) in itertools.combinations(rows, 2):
        if alike(these, those):
            yield f"{other.line}: says nearly the same as line {one.line}"


def alike(these: frozenset[tuple[str, ...]], those: frozenset[tuple[str, ...]]) -> bool:
    return bool(these and those) and len(these & those) > NEAR * min(len(these), len(those))


def triples(text: str) -> frozenset[tuple[str, ...]]:
    words = words_of(text)
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def openings(text: str) -> Counter[str]:
    """How often rows begin with the same four words: a high count betrays a template."""
    firsts = (parsed(line)[0][1] for line in text.splitlines())
    return Counter(" ".join(words_of(first)[:4]) for first in firsts)


if __name__ == "__main__":
    sys.exit(main())
