"""A task of lm-evaluation-harness that needs no network, where the harness is installed."""

import json

import pytest

from tunebird_trainer.config import Suite
from tunebird_trainer.evaluation import harness, in_process
from tunebird_trainer.outcome import Failure

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is an extra: pip install lm-eval")

TASK = """
task: tiny_yes
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: gold
metric_list: [{{metric: acc}}]
"""


@pytest.fixture
def suite(tmp_path):
    rows = [{"q": f"Is {n} even?", "choices": ["yes", "no"], "gold": n % 2} for n in range(6)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(TASK.format(data=tmp_path / "data.jsonl"))
    return Suite("even", f"lm-eval://{tmp_path}/task.yaml")


def test_accuracy_is_kept_by_document(suite, tiny_model):
    harness.check(suite)
    found = harness.measure(suite, in_process.load(tiny_model), batch=4)
    assert list(found.values) == [f"tiny_yes/{n}" for n in range(6)]
    assert set(found.values.values()) <= {0.0, 1.0}


def test_a_task_it_does_not_have_is_refused_with_one_that_it_has():
    with pytest.raises(Failure, match=r"no task 'arc_esay'; did you mean arc_easy\?"):
        harness.check(Suite("arc", "lm-eval://arc_esay"))
