"""Each line of a log says when it was written; what programs read stays as it is."""

import io
import threading
from datetime import UTC, datetime

from tunebird_trainer.stamped import Stamped

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def test_each_line_has_its_time_and_json_has_none():
    stream = io.StringIO()
    log = Stamped(stream, lambda: NOON)
    print("phase: load", flush=True, file=log)
    print("data: one\ndata: two", file=log)
    print('{"config": {}}\n', file=log)
    assert stream.getvalue() == (
        "2026-01-02T12:00:00Z phase: load\n2026-01-02T12:00:00Z data: one\n2026-01-02T12:00:00Z data: two\n"
        '{"config": {}}\n\n'
    )


def test_a_line_of_one_thread_is_not_cut_by_another():
    stream = io.StringIO()
    log = Stamped(stream, lambda: NOON)
    log.write("first ")
    other = threading.Thread(target=print, args=("second",), kwargs={"file": log})
    other.start()
    other.join()
    log.write("ends\n")
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == ["second", "first ends"]
