"""Train the tiny target from nothing, on a CPU, in under two hours: the tower reads, the language model says it.

python -m tools.tiny.train [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from mmsb.model.tiny import CHECKPOINT
from tools.tiny import architecture, language, processor, vision
from tools.tiny.features import Features

STAGES = (  # `cycle` is longer than `steps` where a stage stops before its rate has fallen
    language.Stage(steps=400, cycle=2000, seed=1, reading=(0.75, 0.1), known=0.15),
    language.Stage(steps=600, cycle=1400, seed=2, reading=(0.5, 0.12), known=0.65),
    language.Stage(steps=600, cycle=750, seed=4, reading=(0.35, 0.1), known=0.85),
    language.Stage(steps=380, cycle=380, seed=5, reading=(0.08, 0.08), known=0.95, full=0.05),
    language.Stage(steps=500, cycle=500, seed=6, reading=(0.4, 0.12), known=0.97, full=0.08, rate=1.5e-3),
    language.Stage(steps=260, cycle=260, seed=7, reading=(0.2, 0.12), known=0.97, full=0.08, rate=1e-3, checks=0.35),
)


def save(model: Any, tools: Any, folder: Path) -> None:
    """Write the checkpoint in half precision (2 bytes a number); it is loaded and run in float32."""
    model.generation_config.max_new_tokens = 64
    model.half().save_pretrained(folder)
    tools.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)


def main(folder: str = str(CHECKPOINT)) -> None:
    """Run all stages and write the checkpoint."""
    torch.set_num_threads(1)  # the order of sums, and so the weights, depends on the threads
    tower = vision.pretrain(steps=1500).tower
    tools = processor.processor()
    torch.manual_seed(0)
    model = architecture.llava(tools.tokenizer)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    teacher = language.Teacher(model, tools, Features(model.model.vision_tower))
    for stage in STAGES:
        language.train(teacher, stage)
    save(model, tools, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
