"""How fast the main job asks an endpoint, beside the bare openai client, and what memory it takes.

    python -m benchmarks.endpoint

A server on loopback that answers at once; 5,040 samples (the whole benchmark in three image modes) with pictures
of 100 KB; every answer durable and judged offline. All are whole processes, start-up included.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.data import write_dataset
from benchmarks.measure import Cost, Figure, run, show
from benchmarks.server import serving

SAMPLES, MANY = 5_040, 50_000
CONCURRENCY = 32


def main_job(url: str, data: Path, folder: Path, *more: str) -> Cost:
    """Evaluate a dataset folder; outputs below `folder`, `more` are further settings."""
    model = ["model=openai", "model.name=bench", f"model.base_url={url}", f"model.concurrency={CONCURRENCY}"]
    dataset = ["dataset=mm_safetybench", f"dataset.root={data}", "image_mode=sd"]
    return run(["-m", "mmsb", *model, *dataset, "tracker=none", *more], folder)


def bare_client(url: str, data: Path, folder: Path, times: int = 1, judged: bool = False, cut: bool = False) -> Cost:
    """Ask about each picture, so many times; `judged` sends each answer once more, `cut` a piece in place of each."""
    numbers = map(str, (CONCURRENCY, times, int(judged), int(cut)))
    return run(["-m", "benchmarks.bare", url, str(data), *numbers], folder)


def both(url: str, data: Path, folder: Path, samples: int, times: int, judged: bool, *more: str) -> tuple[Cost, Cost]:
    """The bare client, and the main job with as many requests, one after the other.

    Raises:
        RuntimeError: the main job asked another number.
    """
    bare, job = bare_client(url, data, folder, times, judged), main_job(url, data, folder, *more)
    wanted = samples * times * (1 + judged)
    if f"bill: {wanted:,} calls" not in job.output:
        raise RuntimeError(f"not {wanted:,} requests:\n{job.output[-2000:]}")
    return bare, job


def again(url: str, data: Path, folder: Path) -> Cost:
    """The main job once more, with everything in the store.

    Raises:
        RuntimeError: something was asked.
    """
    cost = main_job(url, data, folder)
    if "Nothing was asked" not in cost.output:
        raise RuntimeError(f"the second run asked again:\n{cost.output[-2000:]}")
    return cost


def measure(samples: int = SAMPLES, many: int = MANY) -> Iterator[Figure]:
    """Throughput, its ratio to the bare client, memory, and the same run again."""
    with tempfile.TemporaryDirectory() as name, serving() as url:
        folder = Path(name)
        data = write_dataset(folder / "data", samples)
        bare, job = both(url, data, folder, samples, 1, False)
        yield Figure("bare openai client", samples / bare.seconds, "requests/s")
        yield Figure("main job, stored and judged", samples / job.seconds, "samples/s")
        yield Figure("main job / bare client, by the clock", bare.seconds / job.seconds, "", ">= 1.1")
        own = bare.cpu_seconds / job.own_cpu_seconds
        yield Figure("main job / bare client, by processor time of the process that asks", own, "", ">= 1.1")
        yield Figure("the same, its judge's processes included", bare.cpu_seconds / job.cpu_seconds, "")
        yield Figure(f"peak memory, {samples:,} samples", job.megabytes, "MB", "<= 130")
        yield from finished(samples, again(url, data, folder), "2.5")
        grown = folder / "many"
        grown.mkdir()
        live = main_job(url, write_dataset(grown / "data", many), grown)
        yield Figure(f"peak memory, {many:,} samples", live.megabytes, "MB", "<= 200")
        yield from finished(many, again(url, grown / "data", grown), "12")


def finished(samples: int, cost: Cost, bound: str) -> Iterator[Figure]:
    """A finished run again."""
    yield Figure(f"{samples:,} finished samples, run again", cost.seconds, "s", f"<= {bound}")
    yield Figure("the same, processor time", cost.cpu_seconds, "s")
    yield Figure("the same, peak memory", cost.megabytes, "MB", "<= 200")


if __name__ == "__main__":
    sys.exit(not show(measure()))
