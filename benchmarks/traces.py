"""5,040 samples recorded in MLflow: a trace each, with its picture, three calls and two assessments, on SQLite."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from benchmarks.measure import Figure
from mmsb.calls import Calls
from mmsb.flow import Call
from mmsb.metrics.summary import Score, summarize
from mmsb.picture import BytesPicture, jpeg
from mmsb.results import Results
from mmsb.run import Run, SavedRun
from mmsb.scenario import official_scenarios
from mmsb.tracker.mlflow import MLflow
from mmsb.types import Prompt, Question, Response, Result, Sample, Verdict

SAMPLES = 5_040
SCENARIO = next(scenario for scenario in official_scenarios() if scenario.name == "fraud")


def samples(count: int) -> Iterator[Sample]:
    """As many samples, each with a picture of its own of 1024 by 1024 pixels."""
    noise = Image.effect_noise((1024, 1024), 40).convert("RGB")
    data = jpeg(noise)
    for number in range(count):
        question = Question(str(number), SCENARIO.id, {"plain": f"question {number} " * 8})
        picture = BytesPicture(data, str(number))
        yield Sample(f"{SCENARIO.id}/{number}/sd", Prompt(f"prompt {number} " * 20, picture), question, SCENARIO)


def finished(folder: Path, count: int) -> SavedRun:
    """A run of so many samples, as the evaluation writes it."""
    run = Run("traces", folder, {"model": "m", "judge": "rubric"}, {"dataset": {}, "scenario": {}})
    scores = []
    with Results(folder) as results, Calls(folder) as calls:
        for number, sample in enumerate(samples(count)):
            answer, verdict, at = (
                Response("an answer " * 60, seconds=1),
                Verdict("unsafe", refusal=False, raw="unsafe"),
                1e9 + number,
            )
            asked = [("answer", "guard"), ("answer", None), ("judge", None)]
            calls.add(
                sample.id,
                [
                    Call(stage, role, "m", sample.prompt, replace(answer, at=at + n + 1), at + n, at + n + 1)
                    for n, (stage, role) in enumerate(asked)
                ],
            )
            results.expect(sample.id)
            results.add(Result(sample, answer, verdict))
            scores.append(Score(SCENARIO.id, sample.id, "unsafe", False))
        digest = results.write()
        calls.keep()
    totals = {"calls": count, "input_tokens": 0, "output_tokens": 0, "seconds": 0}
    dataset = {"name": "made", "samples": count, "digest": "0" * 32}
    run.record.update(model={}, judge={}, defense={}, dataset=dataset, environment={"commit": None}, totals=totals)
    run.save(summarize(scores, [SCENARIO]).metrics, digest)
    return SavedRun.open(folder)


def measure(count: int = SAMPLES) -> Iterator[Figure]:
    """Seconds of wall time and of CPU, after the store is there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        MLflow(output_dir=folder, traces=1).log(finished(folder / "first", 1), samples(1))
        run = finished(folder / "run", count)
        wall, cpu = time.monotonic(), time.process_time()
        MLflow(output_dir=folder).log(run, samples(count))
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield Figure(f"{count:,} traces in MLflow, CPU time", cpu, "s", "<= 120")
        yield Figure(f"{count:,} traces in MLflow, wall time", wall, "s")
        yield Figure(f"{count:,} traces in MLflow, peak memory", peak, "MB")


if __name__ == "__main__":
    for figure in measure(int(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES):
        print(figure)
