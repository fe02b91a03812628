"""Answers in the course of training are logged and change nothing."""

from trainer import processes
from trainer.factories import placed
from trainer.training import rig
from tunebird_trainer.config import Samples
from tunebird_trainer.training import curves, samples

ASKED = {"everySteps": 2, "prompts": ["What is 1 and 2?", "What is 3 and 4?"], "maxTokens": 4}


def test_answers_are_in_the_log_and_in_the_curves(tmp_path, tiny_model):
    result = processes.run(placed(tmp_path, tiny_model, training__samples=ASKED), tmp_path)
    assert result.code == 0, result.log
    told = [line for line in curves.read(tmp_path / "checkpoints" / curves.NAME) if "samples" in line]
    assert [line["step"] for line in told] == [2, 4]
    assert [each["prompt"] for each in told[0]["samples"]] == ASKED["prompts"]
    assert result.log.count("sample: step ") == 4


def test_training_goes_on_as_if_nothing_had_been_asked(tmp_path, tiny_model, tokenizer):
    ended = []
    for asked in (ASKED, {}):
        config = rig.config(tmp_path, tiny_model, method__lora__dropout=0.2, training__samples=asked)
        trainer = rig.trainer(config, tokenizer, rig.prepared(config, validation=0), tmp_path / str(len(ended)))
        trainer.train()
        ended.append(rig.weights(trainer))
    assert ended[0] == ended[1]


def test_a_base_model_without_template_goes_on_from_the_bare_words(tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    bare = AutoTokenizer.from_pretrained(tiny_model)
    bare.chat_template = None
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    (answer,) = samples.generated(model, bare, Samples(1, ("The parcel",), 3))
    assert answer["prompt"] == "The parcel"
    assert answer["answer"]
