"""The model card's words on how to use what was made."""

import json
import shlex

import pytest

from trainer.factories import config
from tunebird_trainer import config_file
from tunebird_trainer.artifacts import card


def use(**changes):
    parsed = config_file.parse(config(**changes))
    return "\n\n".join(card._use(parsed, {"servable": card.servable(parsed)}))


@pytest.mark.parametrize("name", ["support-bot", "the team's bot"])
def test_the_card_says_how_to_serve_and_ask_the_merged_model(name):
    lines = use(job__name=name).splitlines()
    served = shlex.split(next(line for line in lines if line.startswith("tunebird-server")))
    assert served == ["tunebird-server", "--model-uri", "file://$PWD", "--served-model-name", name]
    asked = shlex.split(next(line for line in lines if line.startswith("curl")))
    assert json.loads(asked[-1])["model"] == name


def test_the_card_names_no_server_for_an_adapter_alone():
    assert "tunebird-server" not in use(output__forms=["adapter"])
