"""Tokenizer and model from a directory, with every dtype, kernel and quantization as the plan says."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import Precision, Quantization
from tunebird_trainer.data import templates
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.training import arguments, devices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tunebird_trainer.config import Config


def load_tokenizer(base: Path, config: Config) -> Any:
    from transformers import AutoTokenizer

    with _loading(config):
        tokenizer = AutoTokenizer.from_pretrained(base)
    templates.apply(tokenizer, config)
    return tokenizer


def load_model(base: Path, config: Config, *, quantized: bool = True) -> Any:
    """As training has it; with `quantized` off, as the adapter is merged into it."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    if config.training.precision is Precision.FP16 and not torch.cuda.is_available():
        raise Failure(Reason.INVALID_CONFIG, "training.precision: fp16 needs a GPU; use fp32 or bf16")
    device = devices.here()
    plan = arguments.resolved_arguments(config, device)["model"]
    extra = {"use_kernels": True} if plan["use_kernels"] else {}
    if quantized and plan["quantization"]:
        where = torch.cuda.current_device() if device.on_gpu else "cpu"
        extra |= {"quantization_config": BitsAndBytesConfig(**plan["quantization"]), "device_map": {"": where}}
    with _loading(config):
        model = AutoModelForCausalLM.from_pretrained(
            base, dtype=getattr(torch, plan["dtype"]), use_safetensors=True,
            attn_implementation=plan["attn_implementation"], **extra,
        )  # fmt: skip
    return _prepared(model) if "quantization_config" in extra else model


def _prepared(model: Any) -> Any:
    """Frozen, with norms and embeddings in fp32. Activation checkpointing is the trainer's business."""
    from peft import prepare_model_for_kbit_training

    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # On such a CPU the first evaluation would repack the weights and round their scales for good, and training
            # would go on from other weights than a resumed run: bitsandbytes/nn/modules.py, Linear4bit, 0.50.2.
            module.support_avx512bf16_for_cpu = False
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


@contextmanager
def _loading(config: Config) -> Iterator[None]:
    """What can't be read as a model is the model's fault, not a bug."""
    from safetensors import SafetensorError

    try:
        yield
    except ImportError as error:
        if config.method.quantization is Quantization.NONE:
            raise
        remedy = "install bitsandbytes in the trainer's image or use none"
        raise Failure(Reason.INVALID_CONFIG, f"method.quantization: {error}; {remedy}") from error
    except (OSError, ValueError, SafetensorError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "fetch it again, or choose a causal language model that this version of transformers knows"
        raise Failure(Reason.MODEL_NOT_FOUND, f"model {config.model.uri} can't be loaded: {said}; {remedy}") from error


def shape(model: Any) -> dict[str, int]:
    """What a planner of memory needs to know of a model; `parameters` are the base's, without an adapter."""
    text = model.config.get_text_config()
    counts = [(name, _size(each), each.requires_grad) for name, each in model.named_parameters()]
    return {
        "parameters": sum(number for name, number, _ in counts if "lora_" not in name),
        "trainable": sum(number for _, number, learning in counts if learning),
        "layers": text.num_hidden_layers, "hidden": text.hidden_size, "vocab": text.vocab_size,
    }  # fmt: skip


def _size(parameter: Any) -> int:
    """Number of weights: four-bit ones lie two in a byte, and ZeRO-3 leaves a stub of each."""
    if type(parameter).__name__ == "Params4bit":
        return int(parameter.numel() * parameter.element_size() * 2)
    return int(getattr(parameter, "ds_numel", parameter.numel()))
