"""What an ML engineer writes by hand: TRL's SFTTrainer on the same model, rows and settings."""

import json
import sys
from pathlib import Path

from clocks import clocked

with clocked():
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    config = json.loads(Path(sys.argv[1]).read_text())
    training, lora, checkpoint = config["training"], config["method"]["lora"], config["checkpoint"]
    base = config["model"]["uri"].removeprefix("file://")
    data = Path(config["datasets"][0]["uri"].removeprefix("file://"))
    dataset = Dataset.from_list([json.loads(line) for line in data.read_text().splitlines()])
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(base),
        train_dataset=dataset,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM", r=lora["rank"], lora_alpha=lora["alpha"], target_modules="all-linear"
        ),
        args=SFTConfig(
            output_dir=checkpoint["uri"].removeprefix("file://"),
            max_steps=training["maxSteps"],
            per_device_train_batch_size=training["microBatchSize"],
            gradient_accumulation_steps=training["gradientAccumulationSteps"],
            learning_rate=training["learningRate"],
            lr_scheduler_type=training["schedule"]["type"],
            warmup_steps=training["schedule"]["warmup"],
            max_length=training["maxSequenceLength"],
            assistant_only_loss=True,
            activation_checkpointing=False,
            bf16=False,
            use_cpu=True,
            dataloader_pin_memory=False,
            seed=training["seed"],
            include_num_input_tokens_seen="non_padding",
            save_steps=checkpoint["everySteps"],
            save_total_limit=checkpoint["keep"],
            report_to="none",
        ),
    )
    trainer.train()
