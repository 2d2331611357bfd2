"""What memory a run takes as its samples grow in number: all answers are in the store, and pictures are shared.

    python -m benchmarks.memory [<samples> ...]

The store is filled by hand, since asking for a million answers takes hours; what a run keeps of a sample is the same.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.data import write_dataset
from benchmarks.endpoint import again
from benchmarks.measure import Figure, show
from benchmarks.server import answer
from mmsb.dataset.mm_safetybench import MMSafetyBench
from mmsb.image_mode import ImageMode
from mmsb.judge.reader import READER, told
from mmsb.model.openai import OpenAI
from mmsb.scenario import official_scenarios
from mmsb.store import Store
from mmsb.types import Prompt, Response

SIZES = (5_040, 1_000_000)
URL = "http://127.0.0.1:9/v1"  # nobody is asked
DIFFERENT = 997


def measure(sizes: tuple[int, ...] = SIZES) -> Iterator[Figure]:
    """Peak memory by size, and the slope between the first and the last."""
    peaks = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            data = write_dataset(folder / "data", size)
            fill(folder / "outputs" / "store", data)
            cost = again(URL, data, folder)
            peaks.append(cost.megabytes)
            bound = "<= 130" if size <= SIZES[0] else "<= 200"
            yield Figure(f"peak memory, {size:,} samples that are all stored", cost.megabytes, "MB", bound)
            yield Figure("the same, processor time", cost.cpu_seconds, "s")
    if len(sizes) > 1:
        more = 1e6 * (peaks[-1] - peaks[0]) / (sizes[-1] - sizes[0])
        yield Figure("memory for each sample more", more, "bytes")


def fill(folder: Path, data: Path) -> None:
    """Put an answer to every question there, and how it reads."""
    store, dataset = Store(folder), MMSafetyBench(root=data)
    # As conf/model/openai.yaml has it: with other settings the answers would be another model's.
    engine = OpenAI(name="bench", base_url=URL, max_tokens_parameter="max_completion_tokens", temperature=0.0)
    mode = ImageMode(name="sd", image="SD", question="rephrased_sd")
    replies = [json.loads(answer(number))["choices"][0]["message"]["content"] for number in range(DIFFERENT)]
    shelf, readings = store.shelf(engine), store.shelf(READER)
    known = {text: told([Prompt("stop", reply=text)])[0] for text in replies}
    number = 0
    for scenario in official_scenarios():
        for question in dataset.questions(scenario):
            text = replies[number % DIFFERENT]
            shelf.add(mode.prompt(question, dataset).key, Response(text, "stop", 612, 240, 0.05))
            readings.add(Prompt("stop", system=question.plain, reply=text).key, known[text])
            number += 1
    store.close()


if __name__ == "__main__":
    os.environ["OPENAI_API_KEY"] = "none"
    sys.exit(not show(measure(tuple(map(int, sys.argv[1:])) or SIZES)))
