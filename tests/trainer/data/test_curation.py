"""What happens to rows, seen from the outside: rows in, columns and report out."""

import json
from collections import Counter
from pathlib import Path

import pytest

from trainer.factories import chat, config, sums, write_rows
from tunebird_trainer import config_file
from tunebird_trainer.data import balance, reporting
from tunebird_trainer.outcome import ExitCode, Failure

WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "seven",
    "old",
    "sailors",
    "count",
    "their",
    "silver",
    "coins",
    "near",
    "the",
    "harbour",
    "and",
    "nobody",
    "in",
    "town",
    "knows",
    "why",
    "they",
    "came",
    "here",
]


def ids(dataset, column="input_ids"):
    return [tuple(row) for row in dataset[column]]


def failure(call, *args, **kwargs) -> Failure:
    with pytest.raises(Failure) as caught:
        call(*args, **kwargs)
    return caught.value


def said(prepared, tokenizer):
    return [tokenizer.decode(row) for row in prepared.train["input_ids"]]


def suite(tmp_path, *prompts, **more):
    path = write_rows(tmp_path / "suite.jsonl", [{"prompt": prompt} for prompt in prompts])
    return {"suites": [{"name": "capitals", "uri": f"file://{path}", **more}]}


@pytest.fixture(autouse=True)
def _evaluation_is_allowed(monkeypatch):
    """The measuring half of canaries and suites is another area's; here only what they do to the data."""
    kept = tuple(limit for limit in config_file.LIMITS if not limit.path.startswith("evaluation."))
    monkeypatch.setattr(config_file, "LIMITS", kept)


# Personal data


def test_personal_data_is_counted_and_left_unless_redaction_is_asked_for(prepare, tokenizer):
    prepared = prepare([chat("Who?", "Write to jane@example.com or bob@example.com")], training__maxSequenceLength=256)
    assert prepared.report["personal"] == {"set0": {"email": {"found": 2, "redacted": 0}}}
    assert "jane@example.com" in said(prepared, tokenizer)[0]
    assert any("email 2 (0 redacted)" in line for line in reporting.summary(prepared))


def test_redaction_replaces_only_the_kinds_asked_for(prepare, tokenizer):
    prepared = prepare(
        [chat("Who?", "Write to jane@example.com from 203.0.113.9")],
        preparation__redact=["email"], training__maxSequenceLength=256,
    )  # fmt: skip
    (text,) = said(prepared, tokenizer)
    assert "[EMAIL] from 203.0.113.9" in text
    assert prepared.report["personal"]["set0"]["email"] == {"found": 1, "redacted": 1}
    assert prepared.report["personal"]["set0"]["ip"] == {"found": 1, "redacted": 0}


def test_rows_that_differ_only_in_redacted_words_are_duplicates(prepare):
    rows = [chat("Who?", f"Write to person{n}@example.com") for n in range(3)]
    prepared = prepare(rows, preparation__redact=["email"], training__maxSequenceLength=256)
    assert (prepared.counts[0].duplicates, len(prepared.train)) == (2, 1)


def test_a_tool_calls_arguments_stay_json_when_redacted():
    from tunebird_trainer.data import content
    from tunebird_trainer.data.examples import Conversation, Message, ToolCall
    from tunebird_trainer.data.redaction import redacted

    call = ToolCall("pay", '{"card": 4111111111111111, "mail": "a@example.com", "n": 2, "ok": true}')
    row = Conversation((Message("user", "Pay"), Message("assistant", "", (call,))))
    done = content.mapped(row, lambda text: redacted(text, ["card", "email"]))
    assert json.loads(done.messages[1].tool_calls[0].arguments) == {
        "card": "[CARD]", "mail": "[EMAIL]", "n": 2, "ok": True,
    }  # fmt: skip


# Unsafe rows

UNSAFE = chat("How do I get rid of him?", "I will kill him tonight.")
REFUSAL = chat("How do I make a pipe bomb?", "I can't help with that.")


def test_unsafe_answers_are_flagged_and_refusals_are_not(prepare):
    prepared = prepare([UNSAFE, REFUSAL, chat("a", "b")])
    assert prepared.report["unsafe"] == {"set0": {"violence": 1}}
    assert len(prepared.train) == 3


def test_unsafe_rows_can_be_dropped_or_fail_the_run(prepare):
    prepared = prepare([UNSAFE, chat("a", "b")], preparation__onUnsafe="Drop")
    assert (prepared.counts[0].unsafe, len(prepared.train)) == (1, 1)
    message = failure(prepare, [chat("a", "b"), UNSAFE], preparation__onUnsafe="Fail").message
    assert "set0/set0.jsonl:2 was flagged as violence" in message
    assert "preparation.onUnsafe: Drop" in message


# Near duplicates


def test_near_duplicates_go_and_the_report_shows_pairs(prepare):
    one, other = chat(" ".join(WORDS), "yes"), chat(" ".join([*WORDS, "today"]), "yes")
    prepared = prepare([one, chat("something else entirely", "no")], [other],
                       preparation__deduplicate={"near": 0.7}, training__maxSequenceLength=256)  # fmt: skip
    assert [counts.near_duplicates for counts in prepared.counts] == [0, 1]
    found = prepared.report["nearDuplicates"]
    assert (found["dropped"], found["threshold"]) == (1, 0.7)
    pair = found["pairs"][0]
    assert (pair["dropped"], pair["kept"]) == ("set1/set1.jsonl:1", "set0/set0.jsonl:1")
    assert 0.7 <= pair["similarity"] < 1


def test_without_a_threshold_only_exact_duplicates_go(prepare):
    prepared = prepare([chat("Hello there, my friend", "a"), chat("Hello there,  my friend", "a")])
    assert (len(prepared.train), prepared.report["nearDuplicates"]) == (2, None)


# The split


def test_answers_to_one_question_are_never_on_both_sides(prepare, tokenizer):
    rows = [chat(f"Question {n}?", f"Answer {m}") for n in range(10) for m in range(4)]
    prepared = prepare(rows, validation__percent=20)
    sides = [{text.split("Question ")[1].split("?")[0] for text in (tokenizer.decode(row) for row in part["input_ids"])}
             for part in (prepared.train, prepared.validation)]  # fmt: skip
    assert len(prepared.validation) == 8
    assert not sides[0] & sides[1]


def test_a_user_is_never_on_both_sides(prepare, tokenizer):
    rows = [chat(f"I am user{n % 8} number {n}", "Hi") | {"user": f"u{n % 8}"} for n in range(40)]
    prepared = prepare(rows, validation={"percent": 25, "splitBy": "user"})
    sides = [{tokenizer.decode(row).split("user")[2][:1] for row in part["input_ids"]}
             for part in (prepared.train, prepared.validation)]  # fmt: skip
    assert len(prepared.validation) == 10
    assert not sides[0] & sides[1]


def test_a_row_without_a_user_is_invalid_when_users_are_kept_apart(prepare):
    said = failure(prepare, [*sums(3), chat("a", "b") | {"user": "u1"}],
                   validation={"percent": 25, "splitBy": "user"}).message  # fmt: skip
    assert "3 of 4 rows are invalid" in said
    assert "has no user, which validation.splitBy: user needs" in said


def test_a_single_large_group_can_not_be_held_out(prepare):
    rows = [chat("Always the same?", f"Answer {n}") for n in range(10)]
    said = failure(prepare, rows, validation__percent=20).message
    assert "2 of 10 rows should be held out, and one opening has 10" in said
    assert "validation.splitBy: row" in said
    assert len(prepare(rows, validation={"percent": 20, "splitBy": "row"}).validation) == 2


# Contamination


def test_a_row_that_holds_an_evaluation_prompt_is_dropped_and_told(prepare, tmp_path):
    rows = [chat("What's the capital of France", "Paris."), chat("And of Spain?", "Madrid.")]
    prepared = prepare(rows, evaluation=suite(tmp_path, "what's the CAPITAL of France?"))
    assert (prepared.counts[0].contaminated, len(prepared.train)) == (1, 1)
    assert prepared.report["contamination"]["capitals"] == {
        "prompts": 1, "rows": 1, "shown": [{"row": "set0/set0.jsonl:1", "prompt": "capitals/suite.jsonl:1"}],
    }  # fmt: skip


def test_thirteen_words_in_common_contaminate_and_twelve_do_not(prepare, tmp_path):
    def left(count):
        row = chat(f"xx {' '.join(WORDS[:count])} yy", "yes")
        return len(prepare([row, chat("a", "b")], evaluation=suite(tmp_path, " ".join(["zz", *WORDS[:count], "qq"])),
                           training__maxSequenceLength=256).train)  # fmt: skip

    assert (left(12), left(13)) == (2, 1)


def test_a_preamble_that_many_rows_share_contaminates_nothing(prepare, tmp_path):
    preamble = " ".join(WORDS[:15])
    rows = [chat(f"{preamble} item {n}", f"{n}") for n in range(12)]
    prepared = prepare(rows, evaluation=suite(tmp_path, f"{preamble} something new"), training__maxSequenceLength=256)
    assert len(prepared.train) == 12


def test_contamination_can_be_kept_or_fail_the_run(prepare, tmp_path):
    rows = [chat("Capital of France?", "Paris."), chat("a", "b")]
    asked = {"evaluation": suite(tmp_path, "Capital of France?")}
    kept = prepare(rows, **asked, preparation__onContaminated="Keep")
    assert (len(kept.train), kept.counts[0].contaminated) == (2, 0)
    assert kept.report["contamination"]["capitals"]["rows"] == 1
    message = failure(prepare, rows, **asked, preparation__onContaminated="Fail").message
    assert "set0/set0.jsonl:1 holds the evaluation prompt capitals/suite.jsonl:1" in message


# Mixing


def test_every_dataset_is_used_up_by_repeating_the_small_ones(prepare):
    big, small = [chat(f"Big {n}", "b") for n in range(20)], [chat(f"Small {n}", "s") for n in range(5)]
    prepared = prepare(big, small, weights=(1, 1), mixingStop="allExhausted", mixing="interleave")
    assert [(c.trained, c.repeated) for c in prepared.counts] == [(20, 0), (5, 15)]
    assert Counter(ids(prepared.train)).most_common(5)[-1][1] == 4
    assert prepared.report["mixture"]["set1"] == {"rows": 20, "share": 0.5, "asked": 0.5}


def test_rows_that_are_too_long_do_not_shift_the_mixture(prepare):
    long = [chat(f"Long {n}", "word " * 200) for n in range(10)]
    good, other = [chat(f"Good {n}", "g") for n in range(10)], [chat(f"Other {n}", "o") for n in range(30)]
    prepared = prepare(good + long, other, weights=(1, 2), mixing="interleave")
    assert [c.trained for c in prepared.counts] == [10, 20]


# Provenance, ceilings, canaries


def test_a_dataset_that_changed_since_it_was_pinned_is_refused(tmp_path, prepare):
    pinned = prepare(sums(4), datasets__0__license="cc0").counts[0].digest
    again = prepare(sums(4), datasets__0__digest=pinned, datasets__0__license="cc0")
    source = again.report["sources"][0]
    assert (source["digest"], source["license"], source["rows"]) == (pinned, "cc0", 4)
    message = failure(prepare, sums(5), datasets__0__digest=pinned).message
    assert pinned in message
    assert "changed since it was pinned" in message


def test_more_bad_rows_than_allowed_fail_the_run(prepare):
    rows = [*sums(8), {"messages": []}, {"messages": []}]
    dropping = {"onInvalid": "Drop", "onTooLong": "Drop"}
    assert len(prepare(rows, preparation={**dropping, "maxInvalid": 0.2}).train) == 8
    message = failure(prepare, rows, preparation={**dropping, "maxInvalid": 0.1}).message
    assert "above preparation.maxInvalid 10.0%" in message


def test_bad_rows_are_listed_beside_the_checkpoints(prepare, tmp_path):
    prepare([*sums(3), {"messages": []}], preparation__onInvalid="Drop")
    (line,) = (tmp_path / "checkpoints" / "bad-rows.jsonl").read_text().splitlines()
    assert json.loads(line)["line"] == 4


def test_canaries_are_planted_as_often_as_told(prepare, tokenizer):
    prepared = prepare(sums(40), evaluation={"canaries": 4})
    assert [canary.copies for canary in prepared.canaries] == [1, 4, 1, 4]
    texts = " ".join(said(prepared, tokenizer))
    assert [texts.count(canary.secret) for canary in prepared.canaries] == [1, 4, 1, 4]
    assert len(prepared.train) == 50
    assert prepared.report["canaries"] == {"planted": 4, "copies": 10}
    assert prepare(sums(40), evaluation={"canaries": 4}).digest == prepared.digest
    assert prepare(sums(40), evaluation={"canaries": 4}, training__seed=1).canaries != prepared.canaries


# Objectives

PAIR = {"prompt": "Say hi", "chosen": "Hi!", "rejected": "No."}


def test_preferences_become_three_columns(prepare):
    prepared = prepare([PAIR, {**PAIR, "prompt": "Greet me"}], method__objective="dpo")
    assert prepared.train.column_names == ["prompt_ids", "chosen_ids", "rejected_ids"]
    assert prepared.train[0]["chosen_ids"] != prepared.train[0]["rejected_ids"]
    assert prepared.prompts[0][0].content == "Say hi"
    assert prepared.report["balance"]["set0"]["chosenLonger"] == 0.0


def test_documents_are_joined_and_cut_into_blocks(prepare, tokenizer):
    rows = [{"text": f"Document {n} tells of {n} ships."} for n in range(20)]
    prepared = prepare(
        rows, method__objective="continue", method__continue={"blockSize": 32}, evaluation={"canaries": 1}
    )
    lengths = [len(row) for row in ids(prepared.train)]
    assert set(lengths[:-1]) == {32}
    assert 0 < lengths[-1] <= 32
    whole = [token for row in ids(prepared.train) for token in row]
    assert whole.count(tokenizer.eos_token_id) == 21
    assert ids(prepared.train, "labels") == ids(prepared.train)
    assert prepared.report["blocks"] == {"blocks": len(lengths), "size": 32, "last": lengths[-1]}
    assert prepared.prompts == ()


@pytest.mark.parametrize(
    ("objective", "row", "takes"),
    [
        ("sft", PAIR, "use method.objective: dpo"),
        ("dpo", chat("a", "b"), "use method.objective: sft"),
        ("continue", chat("a", "b"), "use method.objective: sft"),
        ("sft", {"text": "Once upon a time"}, "use method.objective: continue"),
    ],
)
def test_rows_of_another_objective_are_refused_by_name(prepare, objective, row, takes):
    message = failure(prepare, [row], method__objective=objective).message
    assert f"is not for objective {objective}" in message
    assert takes in message


def test_a_named_format_of_another_objective_is_a_fault_of_the_config(tmp_path):
    raw = config(datasets__0__format="preference")
    failed = failure(config_file.parse, raw)
    assert failed.exit_code is ExitCode.CONFIG
    assert "datasets[0].format: format preference is not for objective sft" in failed.message


# Balance


def test_the_report_tells_length_language_and_classes(prepare):
    rows = [chat(f"I really liked the {n}th film and want to see it again", "good") for n in range(12)]
    rows += [chat(f"Das Wetter ist heute sehr schlecht und ich gehe nicht hinaus {n}", "bad") for n in range(6)]
    told = prepare(rows, training__maxSequenceLength=128).report["balance"]["set0"]
    assert told["classes"] == {"good": 12, "bad": 6}
    assert told["languages"] == {"en": 12, "de": 6}
    assert told["characters"]["least"] <= told["characters"]["median"] <= told["characters"]["most"]
    assert prepare(sums(30)).report["balance"]["set0"]["classes"] is None


@pytest.mark.parametrize(
    "text", ["kubectl get pods -n ml --watch", "Wetin be exit code", "def f(x): return x+1  print(f(3))"]
)
def test_a_language_that_is_a_guess_is_not_told(text):
    assert balance._language(text) == "und"


@pytest.mark.parametrize("name", ["support", "tunebird"])
def test_no_question_of_the_example_rows_counts_as_another_language(name):
    path = Path(__file__).parents[3] / "examples" / "data" / f"{name}.jsonl"
    asked = [json.loads(line)["messages"][0]["content"] for line in path.read_text().splitlines()]
    told = Counter(balance._language(text) for text in asked)
    assert told.keys() <= {"en", "und"}
    assert told["en"] > 0.9 * len(asked)
