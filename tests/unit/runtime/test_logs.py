"""What a log line looks like."""

from __future__ import annotations

import json
import logging

import pytest

from tunebird.runtime.logs import JsonLines, TextLines


def record(message: str = "Applied HTTPRoute", **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("tunebird.rollout", logging.INFO, "f.py", 1, message, None, None)
    vars(made).update(extra)
    return made


def test_json_line_has_the_names_beside_the_message() -> None:
    line = json.loads(JsonLines().format(record(object="ml/support", weight=5)))
    assert (line["message"], line["object"], line["weight"]) == ("Applied HTTPRoute", "ml/support", 5)
    assert (line["level"], line["logger"]) == ("info", "tunebird.rollout")
    assert line["time"].endswith("+00:00")


def test_whole_objects_that_kopf_attaches_are_not_logged() -> None:
    line = JsonLines().format(record(k8s_ref={"kind": "FineTuneJob"}, settings="secret"))
    assert "k8s_ref" not in line
    assert "secret" not in line


def test_value_that_is_no_json_is_told_as_text() -> None:
    assert json.loads(JsonLines().format(record(error=ValueError("weight 120"))))["error"] == "weight 120"


def test_traceback_is_one_field_of_one_line() -> None:
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError as error:
        made = record()
        made.exc_info = (type(error), error, error.__traceback__)
    line = JsonLines().format(made)
    assert "\n" not in line
    assert "ZeroDivisionError: oops" in json.loads(line)["traceback"]


def test_text_line_is_for_people() -> None:
    assert TextLines().format(record(object="ml/support")).endswith("INFO    Applied HTTPRoute object=ml/support")


@pytest.mark.parametrize("form", [JsonLines(), TextLines()])
def test_message_of_other_libraries_is_filled_in(form: logging.Formatter) -> None:
    made = logging.LogRecord("kopf", logging.INFO, "f.py", 1, "Signal %s", ("TERM",), None)
    assert "Signal TERM" in form.format(made)
