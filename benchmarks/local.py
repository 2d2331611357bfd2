"""What batches gain on a local model: the same prompts in batches and one by one, and whether the answers agree.

    python -m benchmarks.local

The sandbox model on the CPU in float32, on questions of the demo: text alone, pictures, and all four image modes; on a
GPU the gain is larger. Each way runs on as many threads as suit it best; a batch on one thread is answered in parts,
one a core. The pictures of the next batch are decoded and resized while one is answered, one by one as well.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from omegaconf import OmegaConf

from benchmarks.measure import Figure, show
from mmsb.dataset.mm_safetybench import Shipped
from mmsb.image_mode import ImageMode
from mmsb.model.fit import Fit
from mmsb.model.hf import HF
from mmsb.model.tiny import CHECKPOINT
from mmsb.paths import conf_dir
from mmsb.scenario import official_scenarios
from mmsb.types import Outcome, Prompt

# Before torch is imported. Threads that wait for each other by turning in a circle take the core from the one that they
# wait for, as soon as anything else runs: two threads then took six times as long as one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
BATCH = 64
THREADS = (1, 2)
NEW_TOKENS = 80
WANTED = {"all four image modes": ">= 4"}


def measure(questions: int = 4) -> Iterator[Figure]:
    """Prompts a second, both ways, once the model is loaded; `questions` of each scenario."""
    everything = list(demo_prompts(questions))
    timed(model(1, 1), everything[:4])  # loads
    kinds = {
        "text only": [prompt for prompt in everything if prompt.image is None],
        "pictures": [prompt for prompt in everything if prompt.image is not None],
        "all four image modes": everything,
    }
    for kind, prompts in kinds.items():
        together, work, answers = best(BATCH, prompts)
        singly, alone, same = best(1, prompts)
        yield Figure(f"{kind}: one by one", len(prompts) / singly, "prompts/s")
        yield Figure(f"{kind}: in batches of {BATCH}", len(prompts) / together, "prompts/s")
        yield Figure(f"{kind}: batches / one by one", singly / together, "", WANTED.get(kind, ""))
        yield Figure(f"{kind}: the same by processor time", alone / work, "")
        agreeing = sum(answers[key] == same[key] for key in answers)
        yield Figure(f"{kind}: answers that agree", agreeing / len(prompts), "", ">= 1")


def best(size: int, prompts: list[Prompt]) -> tuple[float, float, dict[str, Outcome | str]]:
    """As `timed`, on as many threads as suit batches of this size.

    A batch goes before: memory that a process has never had takes the system longer to give than what is computed in
    it takes, and a run of thousands of prompts pays that once.
    """
    for threads in THREADS:
        timed(model(size, threads), prompts[:BATCH])
    return min((timed(model(size, threads), prompts) for threads in THREADS), key=lambda took: took[0])


def model(size: int, threads: int) -> HF:
    """The sandbox model, in batches of `size`."""
    return HF(
        name="tiny",
        name_or_path=str(CHECKPOINT),
        dtype="float32",
        device="cpu",
        backend="pil",
        fit=Fit(how="pad", colour=(255, 255, 255)),
        threads=threads,
        batch_size=size,
        max_new_tokens=NEW_TOKENS,
    )


def demo_prompts(questions: int) -> Iterator[Prompt]:
    """The first of the demo's eight questions of each scenario, in all four image modes."""
    demo = Shipped(name="demo", limit=questions)
    modes = [
        OmegaConf.to_container(OmegaConf.load(path)) for path in sorted((conf_dir() / "image_mode").glob("*.yaml"))
    ]
    for values in modes:
        assert isinstance(values, dict)
        if values["name"] in ("text_only", "sd", "typo", "sd_typo"):
            mode = ImageMode(**{str(key): value for key, value in values.items() if key != "_target_"})
            for scenario in official_scenarios():
                yield from (mode.prompt(question, demo) for question in demo.questions(scenario))


def timed(engine: HF, prompts: list[Prompt]) -> tuple[float, float, dict[str, Outcome | str]]:
    """Seconds by the clock and of the processor (pictures included), and the answers by prompt."""
    started, work = time.perf_counter(), time.process_time()
    answers = {p.key: getattr(outcome, "text", outcome) for p, outcome in engine.generate(engine.batches(prompts))}
    return time.perf_counter() - started, time.process_time() - work, answers


if __name__ == "__main__":
    sys.exit(not show(measure()))
