"""What an ML engineer writes by hand: TRL's SFTTrainer on the same model, rows and settings. Prints its clocks."""

import json
import sys
from pathlib import Path

from clocks import clocked

with clocked() as clocks:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    config = json.loads(Path(sys.argv[1]).read_text())
    training, lora = config["training"], config["method"]["lora"]
    base = config["model"]["uri"].removeprefix("file://")
    data = Path(config["datasets"][0]["uri"].removeprefix("file://"))
    rows = [json.loads(line)["messages"] for line in data.read_text().splitlines()]
    dataset = Dataset.from_list([{"prompt": row[:-1], "completion": row[-1:]} for row in rows])
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(base),
        train_dataset=dataset,
        peft_config=lora
        and LoraConfig(task_type="CAUSAL_LM", r=lora["rank"], lora_alpha=lora["alpha"], target_modules="all-linear"),
        args=SFTConfig(
            output_dir=config["output"]["uri"].removeprefix("file://"),
            max_steps=training["maxSteps"],
            per_device_train_batch_size=training["microBatchSize"],
            gradient_accumulation_steps=training["gradientAccumulationSteps"],
            learning_rate=training["learningRate"],
            lr_scheduler_type="cosine",
            warmup_steps=training["schedule"]["warmup"],
            max_length=training["maxSequenceLength"],
            packing=training["packing"],
            train_sampling_strategy="group_by_length" if training["groupByLength"] else "random",
            completion_only_loss=True,
            activation_checkpointing=False,
            bf16=False,
            use_cpu=True,
            seed=training["seed"],
            include_num_input_tokens_seen="non_padding",
            save_steps=training["maxSteps"],
            logging_steps=10,
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer.train()
    trainer.save_model()
    clocks.tokens = trainer.state.num_input_tokens_seen
