"""The configs beside the README: each is planned, on the rows of examples/data that it is meant for."""

import json
from pathlib import Path

import pytest

from tunebird_trainer import __main__ as wrapper
from tunebird_trainer import config_file

ROOT = Path(config_file.__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("example.json", "support.jsonl", '"quantization": "none"'),
        ("example-dpo.json", "preferences.jsonl", "60 rows read as preference"),
        ("example-qlora.json", "support.jsonl", '"quantization": "nf4"'),
    ],
)
def test_an_example_can_be_planned_once_its_places_are_given(name, rows, said, tmp_path, tiny_model, capsys):
    example = json.loads((ROOT / "trainer_image" / name).read_text())
    assert example["datasets"][0]["uri"] == f"file:///tmp/{rows}"  # what the README's sed looks for
    example["model"]["uri"] = f"file://{tiny_model}"
    example["datasets"][0]["uri"] = f"file://{ROOT}/examples/data/{rows}"
    example["checkpoint"]["uri"], example["output"]["uri"] = f"file://{tmp_path}/c", f"file://{tmp_path}/o"
    example["training"]["maxSequenceLength"] = 2048  # the tiny tokenizer knows few words
    (tmp_path / "config.json").write_text(json.dumps(example))
    assert wrapper.run([str(tmp_path / "config.json"), "--plan"]) == 0
    told = capsys.readouterr().out
    assert said in told
    assert f"{example['training']['maxSteps']} steps" in told


def test_the_readme_names_each_example():
    readme = (ROOT / "trainer_image" / "README.md").read_text()
    for path in (ROOT / "trainer_image").glob("example*.json"):
        assert path.name in readme
