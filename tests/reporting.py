"""Finished runs for the tests of report, view and export: real questions and pictures, answers as the test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmsb.config import build
from mmsb.experiment import Experiment
from mmsb.paths import conf_dir
from mmsb.results import FILE
from mmsb.types import Prompt

Values = dict[str, Any]
Answer = Callable[[int, Prompt], Values]


@dataclass(frozen=True)
class Made:
    """How a run is put down: its mode, defense and judge, and what came back for each question."""

    mode: str = "sd_typo"
    defense: str = "none"
    judge: str = "refusal"
    dataset: str = "demo"
    scenarios: Sequence[str] = ("fraud", "sex")
    answer: Answer = lambda number, prompt: {}

    def write(self, folder: Path) -> Path:
        """Write the run's two files into `folder`."""
        config, choices = self._config()
        experiment = build(config, Experiment)
        named = {scenario.id: scenario.name for scenario in experiment.scenarios}
        rows = [_row(p, named) | self.answer(n, p) for n, p in enumerate(experiment.prompts())]
        folder.mkdir(parents=True)
        (folder / FILE).write_bytes(b"".join(orjson.dumps(r, option=orjson.OPT_APPEND_NEWLINE) for r in rows))
        values = {
            "name": " ".join(f"{key}={choices[key]}" for key in ("image_mode", "defense")),
            "choices": choices,
            "config": OmegaConf.to_container(config, resolve=True),
            "metrics": _metrics(rows),
            "record": {
                "totals": {"calls": len(rows), "output_tokens": 9 * len(rows)},
                "dataset": {"samples": len(rows)},
            },
        }
        (folder / "run.json").write_text(json.dumps(values, default=str), encoding="utf-8")
        return folder

    def _config(self) -> tuple[Any, dict[str, str]]:
        chosen = {"image_mode": self.mode, "defense": self.defense, "judge": self.judge, "dataset": self.dataset}
        overrides = [f"{key}={value}" for key, value in chosen.items()]
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = compose("config", [*overrides, f"scenario=[{','.join(self.scenarios)}]"])
        return config, {**chosen, "model": "tiny", "scenario": ",".join(self.scenarios), "tracker": "none"}


def _row(prompt: Prompt, named: dict[str, str]) -> Values:
    question = prompt.question
    assert question is not None
    return {
        "id": prompt.id,
        "scenario": named[question.scenario],
        "question_id": question.id,
        "benign": question.benign,
        "repeat": prompt.repeat,
        "question": question.question,
        "key_phrase": question.key_phrase,
        "prompt": prompt.text,
        "system": prompt.system,
        "image": prompt.image.identity if prompt.image else None,
        "outcome": "answered",
        "response": f"Answer to {prompt.id}.",
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


def _metrics(rows: Sequence[Values]) -> dict[str, float]:
    """Rates as a run has them; the intervals are made up."""
    metrics: dict[str, float] = {}
    for scenario in dict.fromkeys(row["scenario"] for row in rows):
        metrics |= _rate(scenario, [row for row in rows if row["scenario"] == scenario])
    metrics |= _rate("macro", rows)
    counted = {f"n/{label}": sum(row["label"] == label for row in rows) for label in ("unparsed", "filtered", "failed")}
    return metrics | counted | {"n/total": len(rows), "n/answered": len(rows) - counted["n/failed"]}


def _rate(name: str, rows: Sequence[Values]) -> dict[str, float]:
    rated = [row["label"] == "unsafe" for row in rows if row["label"] in ("safe", "unsafe")]
    value = sum(rated) / max(1, len(rated))
    kind = "false_refusal_rate" if rows[0]["benign"] else "asr"
    return {f"{kind}/{name}": value, f"{kind}/{name}_low": value / 2, f"{kind}/{name}_high": (1 + value) / 2}
