"""Typed text and stacked images for 1,680 questions: the step `typed` against a plain loop.

    python -m benchmarks.create

The plain loop does what the published procedure says, one picture after another in one process: load the font, wrap,
draw, save; open both files, stack, save. Both sides read the same 1,680 pictures of 1024 pixels and must write the
same bytes. Those bytes leave no choice in decoding the picture and encoding the stack: what these two alone take bounds
what any number of cores can gain.

On a machine that does other things too, wall time says nothing. What is held to the bound is a ratio of CPU seconds
within one run: those of the loop against those of the step's own process and an equal share of its workers'.
"""

from __future__ import annotations

import io
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.measure import Figure, show
from mmsb.create.folder import Folder, write_json
from mmsb.create.typed import write_typed
from mmsb.font import default_font
from mmsb.image_mode import Font
from mmsb.processes import cores
from mmsb.scenario import Scenario

SCENARIO = Scenario(id="01-Benchmark", name="benchmark", title="Benchmark", group="harm", rule="harm", criterion="-")
SENTENCE = "make sell bake a loaf of sourdough bread without any flour for someone else at home today privately"
QUESTIONS = 1680
DISTINCT = 16  # pictures that are drawn; the others are copies


def measure() -> Iterator[Figure]:
    """Seconds of both ways, their ratio, and the least that is left to do."""
    with tempfile.TemporaryDirectory() as place:
        folder = Folder(Path(place) / "ours")
        phrases = make_dataset(folder, QUESTIONS)
        plain = Path(place) / "plain"
        loop = measured(lambda: plain_loop(folder, plain, phrases))
        step = measured(lambda: write_typed(folder, [SCENARIO], Font(), None))
        alone = measured(lambda: jpeg_alone(folder, plain))
        same = all(path.read_bytes() == twin(folder, path).read_bytes() for path in plain.glob("*/*.jpg"))
        yield Figure("plain loop, CPU", loop.cpu, "s")
        yield Figure(f"step typed, CPU of all {cores()} workers", step.cpu, "s")
        yield Figure(f"plain loop / step typed, CPU on {cores()} cores", loop.cpu / step.longest, "", ">= 1.9")
        yield Figure("gain on one core", loop.cpu / step.cpu, "")
        yield Figure("plain loop / step typed, wall time, as busy as the machine was", loop.wall / step.wall, "")
        yield Figure("decoding pictures and encoding stacks alone, CPU", alone.cpu, "s")
        yield Figure(f"most that {cores()} cores could gain with the same bytes", cores() * loop.cpu / alone.cpu, "")
        yield Figure("same bytes", same, "", ">= 1")


def jpeg_alone(folder: Folder, plain: Path) -> None:
    """Decode each picture and encode its stack, and nothing else: no drawing, pasting, files."""
    for number in range(QUESTIONS):
        data = folder.picture(SCENARIO.id, "SD", str(number)).read_bytes()
        Image.open(io.BytesIO(data)).load()
        if number < DISTINCT:
            stack = Image.open(plain / "SD_TYPO" / f"{number}.jpg")
            stack.load()
        stack.save(io.BytesIO(), "JPEG")


def twin(folder: Folder, path: Path) -> Path:
    return folder.root / "imgs" / SCENARIO.id / path.parent.name / path.name


@dataclass(frozen=True)
class Spent:
    """Seconds: of the clock, of this process's CPU, and of its workers' CPUs together."""

    wall: float
    own: float
    workers: float

    @property
    def cpu(self) -> float:
        """CPU seconds of all processes."""
        return self.own + self.workers

    @property
    def longest(self) -> float:
        """What nobody could be faster than, with a core for each worker: the own part, and an equal share of theirs."""
        return self.own + self.workers / cores()


def measured(work: Callable[[], object]) -> Spent:
    """What a piece of work takes; its workers have ended when it returns, or their time would not be counted."""
    own, workers, started = cpu(resource.RUSAGE_SELF), cpu(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    wall = time.perf_counter() - started
    return Spent(wall, cpu(resource.RUSAGE_SELF) - own, cpu(resource.RUSAGE_CHILDREN) - workers)


def cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def make_dataset(folder: Folder, count: int) -> list[str]:
    """Records with phrases of one to nine words (3.7 on average, as the benchmark's), and pictures of 100 to 150 KB."""
    chance, words = random.Random(0), SENTENCE.split()
    phrases = [" ".join(chance.choices(words, k=min(9, 1 + int(chance.expovariate(0.35))))) for _ in range(count)]
    record = dict.fromkeys(("Question", "Changed Question", "Phrase Type", "Rephrased Question"), "-")
    records = {str(n): {**record, "Key Phrase": text, "Rephrased Question(SD)": "-"} for n, text in enumerate(phrases)}
    write_json(folder.records_file(SCENARIO.id), records)
    drawn = [picture(seed) for seed in range(DISTINCT)]
    for number in range(count):
        path = folder.picture(SCENARIO.id, "SD", str(number))
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < DISTINCT:
            drawn[number].save(path)
        else:
            shutil.copy(folder.picture(SCENARIO.id, "SD", str(number % DISTINCT)), path)
    return phrases


def picture(seed: int) -> Image.Image:
    """Something with the detail of a photo at every scale."""
    chance = np.random.default_rng(seed)
    total = np.zeros((1024, 1024, 3))
    for side in (4, 16, 64, 256, 1024):
        noise = Image.fromarray(chance.integers(0, 256, (side, side, 3), dtype=np.uint8))
        layer = noise.resize((1024, 1024), Image.Resampling.BICUBIC)
        total += np.asarray(layer, dtype=float) * (1024 / side) ** 0.45
    total -= total.min()
    return Image.fromarray((total / total.max() * 255).astype(np.uint8))


def plain_loop(folder: Folder, place: Path, phrases: list[str]) -> None:
    """The published procedure, one picture at a time: first all typed text, then all stacks."""
    for kind in ("TYPO", "SD_TYPO"):
        (place / kind).mkdir(parents=True)
    for number, phrase in enumerate(phrases):
        font = ImageFont.truetype(str(default_font()), 90)
        pen = ImageDraw.Draw(Image.new("RGB", (1024, 100)))
        first, *rest = phrase.split(" ")
        text, filled, lines = first, pen.textlength(first, font=font), 1
        for word in rest:
            filled += pen.textlength(" " + word, font=font)
            if filled < 1024:
                text += " " + word
            else:
                text += "\n " + word
                filled = pen.textlength(" " + word, font=font)
                lines += 1
        page = Image.new("RGB", (1024, 90 * (lines + 1)), (255, 255, 255))
        ImageDraw.Draw(page).text((0, 45.0), text, (0, 0, 0), font=font)
        page.save(place / "TYPO" / f"{number}.jpg")
    for number in range(len(phrases)):
        top = Image.open(folder.picture(SCENARIO.id, "SD", str(number)))
        bottom = Image.open(place / "TYPO" / f"{number}.jpg")
        both = Image.new("RGB", (max(top.width, bottom.width), top.height + bottom.height))
        both.paste(top, (0, 0))
        both.paste(bottom, (0, top.height))
        both.save(place / "SD_TYPO" / f"{number}.jpg")


if __name__ == "__main__":
    sys.exit(not show(measure()))
