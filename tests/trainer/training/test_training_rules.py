"""What objectives and tunings exclude is refused by name, with a remedy."""

import pytest

from trainer.factories import config
from tunebird_trainer import config_file, config_rules
from tunebird_trainer.outcome import ExitCode, Failure

FULL = {"method__tuning": "full", "method__lora": None, "output__forms": ["merged"]}
DPO = {"method__objective": "dpo"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({**FULL, "method__quantization": "nf4"}, "method.quantization: quantized weights can't be trained"),
        ({"method__dpo": {"beta": 0.2}}, "method.dpo: is set and method.objective is not dpo"),
        ({"method__continue": {"blockSize": 64}}, "method.continue: is set"),
        ({**DPO, "method__dpo": {"labelSmoothing": 0.1}}, "method.dpo.labelSmoothing: only the loss robust"),
        ({**DPO, "method__lora__dropout": 0.1}, "method.lora.dropout: dpo compares"),
        ({**DPO, "training__packing": True}, "training.packing: dpo can't pack its pairs"),
        ({**DPO, "training__neftuneAlpha": 5}, "training.neftuneAlpha: its noise"),
        ({**DPO, "training__lossOn": "all"}, "training.lossOn: dpo's loss"),
        ({"training__groupByLength": True, "training__packing": True}, "training.groupByLength: packed rows"),
        ({"training__groupByLength": True, "mixing": "interleave"}, "training.groupByLength: interleave decides"),
        ({"training__keepBest": True, "validation__percent": 0}, "training.keepBest: it compares"),
        (
            {"training__earlyStopping": {"patience": 2}, "validation__percent": 0},
            "training.earlyStopping: it compares",
        ),
        ({"training__samples": {"everySteps": 5}}, "training.samples.prompts: none are given"),
    ],
)
def test_what_excludes_each_other_is_refused(changes, said):
    with pytest.raises(Failure) as caught:
        config_file.parse(config(**changes))
    assert caught.value.exit_code is ExitCode.CONFIG
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method__quantization": "int8"}, "method.quantization: bitsandbytes is not installed"),
        ({"training__optimizer": "adamw-8bit"}, "training.optimizer: bitsandbytes is not installed"),
        (
            {"training__trackers": ["wandb", "mlflow"]},
            "training.trackers: the package wandb is not installed in the image",
        ),
    ],
)
def test_a_missing_package_is_named(monkeypatch, changes, said):
    monkeypatch.setattr(config_rules, "_absent", lambda package: True)
    with pytest.raises(Failure) as caught:
        config_file.parse(config(**changes))
    assert said in caught.value.message
