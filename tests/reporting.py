"""Finished runs for the tests of report, view and export: real questions and pictures, answers as the test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmsb.config import build
from mmsb.digest import digest
from mmsb.experiment import Experiment
from mmsb.metrics.score import Score
from mmsb.metrics.summary import summarize
from mmsb.paths import conf_dir
from mmsb.results import FILE
from mmsb.types import Sample
from tests.saved_runs import seal

Values = dict[str, Any]
Answer = Callable[[int, Sample], Values]


@dataclass(frozen=True)
class Made:
    """How a run is put down: its mode, defense and judge, and what came back for each question."""

    mode: str = "sd_typo"
    defense: str = "none"
    judge: str = "refusal"
    dataset: str = "demo"
    scenarios: Sequence[str] = ("fraud", "sex")
    answer: Answer = lambda number, sample: {}

    def write(self, folder: Path) -> Path:
        """Write the run's two files into `folder`."""
        config, choices = self._config()
        experiment = build(config, Experiment)
        rows = [_row(sample) | self.answer(n, sample) for n, sample in enumerate(experiment.samples())]
        ids = {scenario.name: scenario.id for scenario in experiment.scenarios}
        scores = [replace(Score.of(row), scenario=ids[row["scenario"]]) for row in rows]
        folder.mkdir(parents=True)
        (folder / FILE).write_bytes(b"".join(orjson.dumps(r, option=orjson.OPT_APPEND_NEWLINE) for r in rows))
        values = {
            "id": digest([str(folder)])[:16],
            "name": " ".join(f"{key}={choices[key]}" for key in ("image_mode", "defense")),
            "choices": choices,
            "config": OmegaConf.to_container(config, resolve=True),
            "metrics": dict(summarize(scores, experiment.scenarios).metrics),
            "record": {
                "model": {},
                "judge": {},
                "totals": {"calls": len(rows), "output_tokens": 9 * len(rows)},
                "dataset": {"name": self.dataset, "samples": len(rows), "digest": "0" * 32},
                "comparable": {"comparable": False, "reasons": [f"data: {self.dataset} is not the benchmark"]},
            },
        }
        return seal(folder, values)

    def _config(self) -> tuple[Any, dict[str, str]]:
        chosen = {"image_mode": self.mode, "defense": self.defense, "judge": self.judge, "dataset": self.dataset}
        overrides = [f"{key}={value}" for key, value in chosen.items()]
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = compose("config", [*overrides, f"scenario=[{','.join(self.scenarios)}]"])
        return config, {**chosen, "model": "tiny", "scenario": ",".join(self.scenarios), "tracker": "none"}


def _row(sample: Sample) -> Values:
    prompt, question = sample.prompt, sample.question
    return {
        "id": sample.id,
        "scenario": sample.scenario.name,
        "question_id": question.id,
        "benign": question.benign,
        "repeat": prompt.repeat,
        "question": question.plain,
        "key_phrase": question.key_phrase,
        "prompt": prompt.text,
        "system": prompt.system,
        "image": prompt.image.identity if prompt.image else None,
        "outcome": "answered",
        "response": f"Answer to {sample.id}.",
        "finish": "stop",
        "input_tokens": 20,
        "output_tokens": 9,
        "calls": 1,
        "steps": [],
        "label": "unsafe",
        "refusal": False,
        "flags": [],
        "score": None,
        "comprehended": True,
        "judge_reply": "",
        "judge_details": {},
    }
