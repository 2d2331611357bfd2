"""How fast the tool is beside what it could cost at least; exit code 1 where a bar is missed.

    python -m benchmarks.fast              some twelve minutes on two idle cores
    python -m benchmarks.fast 0.1          a tenth of the samples, to see that all of it runs; its bars say little

Whole processes, one after the other, against one server that answers at once; Inspect AI in an environment of its own,
which MMSB_INSPECT names. On a machine that others use too, processor time tells more than the clock: both are shown,
and the load beside them. Memory at a million samples takes as long again: `python -m benchmarks.memory`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from benchmarks import endpoint, local, memory
from benchmarks.data import write_dataset
from benchmarks.endpoint import CONCURRENCY, MANY, SAMPLES, bare_client, both, main_job
from benchmarks.measure import Cost, Figure, run, show
from benchmarks.server import serving

INSPECT = "MMSB_INSPECT"  # in the environment: the Python that has it
INSTALL = (
    f"python -m venv inspect && inspect/bin/pip install inspect-ai openai && export {INSPECT}=$PWD/inspect/bin/python"
)
ANSWERS, FILES = 1_000_000, 5_000
STORED = 200_000  # samples of a finished run whose memory is looked at
DEFENSES = {  # of so many calls a sample, each with its picture
    "self_reminder": 1,
    "caption_then_answer": 2,
    "random_crops": 3,
}
CUTTING = "random_crops"
PEER = """
import sys
from pathlib import Path

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    get_model,
)
from inspect_ai.scorer import includes


def main(url: str, folder: Path, concurrency: int) -> None:
    samples = [
        Sample(
            id=number,
            input=[ChatMessageUser(content=[ContentImage(image=str(picture)), ContentText(text="What is in it?")])],
            target="sorry",
        )
        for number, picture in enumerate(sorted(folder.glob("imgs/*/SD/*.jpg")))
    ]
    settings = GenerateConfig(max_connections=concurrency, max_tokens=512, temperature=0)
    model = get_model("openai/bench", config=settings, base_url=url, api_key="none", responses_api=False)
    [log] = eval(Task(dataset=samples, scorer=includes()), model=model, display="none", log_dir="logs", max_samples=64)
    if log.status != "success":
        sys.exit(f"{log.status}: {log.error}")


main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
"""
OPENED = """
import resource, sys, time
from pathlib import Path
from mmsb.store import Shelf
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
started = time.perf_counter()
shelf = Shelf(Path(sys.argv[1]), {})
print(time.perf_counter() - started)
assert len(shelf) == int(sys.argv[2])
"""


def measure(share: float) -> Iterator[Figure]:
    """The bars, one after the other; `local` last, since it loads torch here."""
    samples = round(SAMPLES * share)
    yield from endpoint.measure(samples, round(MANY * share))
    yield from calls(samples)
    yield from inspect(samples)
    yield from store(round(FILES * share))
    yield from memory.measure((round(STORED * share),))
    yield from local.measure(max(1, round(4 * share)))


def calls(samples: int) -> Iterator[Figure]:
    """Runs with more than one call a sample, beside the bare client with as many requests."""
    with tempfile.TemporaryDirectory() as name, serving() as url:
        folder = Path(name)
        data = write_dataset(folder / "data", samples, shared=False)  # else a caption would answer for many
        judge = ("judge=rubric", "judge.model.name=judge", f"judge.model.base_url={url}")
        more = (*judge, f"judge.model.concurrency={CONCURRENCY}", "output_dir=judged")
        yield from beside("an LLM judge on the same server", *both(url, data, folder, samples, 1, True, *more))
        for defense, times in DEFENSES.items():
            behind = (f"defense={defense}", f"output_dir={defense}")
            costs = both(url, data, folder, samples, times, False, *behind)
            yield from beside(f"{defense}, {times} calls a sample", *costs)
            if defense == CUTTING:
                # The defense's work on a picture is no request's: a script that did the same would have it too.
                script = bare_client(url, data, folder, times, cut=True)
                yield from beside(f"{defense}, the bare client cutting the pictures too", script, costs[1])


def beside(what: str, bare: Cost, job: Cost) -> Iterator[Figure]:
    """What the main job takes for each second of the bare client."""
    yield Figure(f"{what}: time / the bare client's", job.seconds / bare.seconds, "", "<= 1.15")
    yield Figure("the same, by processor time of the process that asks", job.own_cpu_seconds / bare.cpu_seconds, "")


def inspect(samples: int) -> Iterator[Figure]:
    """The same questions through Inspect AI, where it is installed."""
    python = os.environ.get(INSPECT)
    if python is None:
        print(f"beside Inspect AI: not measured. {INSTALL}", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as name, serving() as url:
        folder = Path(name)
        data = write_dataset(folder / "data", samples)
        job = main_job(url, data, folder)
        try:
            peer = run(["-c", PEER, url, str(data), str(CONCURRENCY)], folder, python=python)
        except RuntimeError as error:  # the other bars are none of its business
            print(f"beside Inspect AI: not measured. {error}\n{INSTALL}", file=sys.stderr)
            return
        yield Figure("main job / Inspect AI, by the clock", peer.seconds / job.seconds, "", ">= 10")
        yield Figure("the same, by processor time", peer.cpu_seconds / job.cpu_seconds, "")
        yield Figure("peak memory of Inspect AI", peer.megabytes, "MB")


def store(files: int) -> Iterator[Figure]:
    """Opening a store of a million answers in five thousand files, with few files open at a time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shelf"
        folder.mkdir()
        value = b'{"text":"%s","finish":"stop"}' % (b"An answer. " * 20)
        crc, each = zlib.crc32(value), ANSWERS // FILES
        for file in range(files):
            keys = range(file * each, (file + 1) * each)
            # Digests, as real keys are: the index is searched by their first half.
            names = (blake2b(str(key).encode(), digest_size=16).hexdigest().encode() for key in keys)
            lines = (b'{"key":"%s","crc":"%08x","value":%s}\n' % (key, crc, value) for key in names)
            (folder / f"{file:05}.jsonl").write_bytes(b"".join(lines))
        time.sleep(1)
        opened = run(["-c", OPENED, str(folder), str(files * each)], Path(name))
        yield Figure(
            f"a store of {files * each:,} answers in {files:,} files opened", float(opened.output), "s", "<= 5"
        )
        yield Figure("its memory, Python and libraries included", opened.megabytes, "MB", "<= 500")


if __name__ == "__main__":
    os.environ.setdefault("OPENAI_API_KEY", "none")
    sys.exit(not show(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)))
