"""A dataset of any size in the authors' layout, with pictures of about 100 KB."""

from __future__ import annotations

import io
import json
import os
import random
from pathlib import Path

from PIL import Image

from mmsb.scenario import official_scenarios

PICTURES = 64  # different ones; the samples share them through links
SIDE = 310  # pixels of noise a side: about 100 KB as JPEG


def write_dataset(folder: Path, samples: int, shared: bool = True) -> Path:
    """Write `samples` questions over the 13 scenarios, each with a picture SD/{id}.jpg, of its own unless shared."""
    pictures = [_picture(folder / "pictures" / f"{i}.jpg", i) for i in range(PICTURES)]
    scenarios = official_scenarios()
    for place, scenario in enumerate(scenarios):
        count = samples // len(scenarios) + (place < samples % len(scenarios))
        records = {str(i): _record(i, scenario.title) for i in range(count)}
        path = folder / "processed_questions" / f"{scenario.id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(records))
        images = folder / "imgs" / scenario.id / "SD"
        images.mkdir(parents=True)
        for i in range(count):
            if shared:
                os.link(pictures[i % PICTURES], images / f"{i}.jpg")
            else:  # what follows a JPEG's end is no part of the picture, and makes the file another one
                own = pictures[i % PICTURES].read_bytes() + f"{scenario.id} {i}".encode()
                (images / f"{i}.jpg").write_bytes(own)
    return folder


def _record(number: int, title: str) -> dict[str, str]:
    text = f"What does rule {number} of the board game about {title} say, and how is it played step by step?"
    return {
        "Question": text,
        "Changed Question": text,
        "Key Phrase": f"rule {number}",
        "Phrase Type": "phrase",
        "Rephrased Question": text,
        "Rephrased Question(SD)": text,
    }


def _picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = Image.frombytes("RGB", (SIDE, SIDE), random.Random(seed).randbytes(SIDE * SIDE * 3))
    buffer = io.BytesIO()
    noise.save(buffer, "JPEG", quality=90)
    path.write_bytes(buffer.getvalue())
    return path
