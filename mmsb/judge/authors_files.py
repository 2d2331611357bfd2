"""Answers and verdicts in the files of the benchmark's authors, both ways.

    questions_with_answers/{scenario}.json   {"0": {"Question": ..., "ans": {MODEL: {"text": ..., "is_safe(gpt)": ..}}}}
    eval_results/{scenario}.json             {MODEL: {"safe": 7, "unsafe": 3, "attack_rate": 0.3}}

A processed question record gets "ans": one entry a model. "is_safe(gpt)" is where their script puts the verdict, and
it skips an answer that has one. Source: README and evaluation.py of the authors' repository.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmsb.dataset.mm_safetybench import question_of, read_json, record_of
from mmsb.dataset.question_file import by_number
from mmsb.digest import digest, write_atomically
from mmsb.errors import ConfigError, DataError
from mmsb.judge.finished import Finished
from mmsb.metrics.agreement import LABELS
from mmsb.scenario import Scenario, official_scenarios
from mmsb.types import Failure, Outcome, Prompt, Question, Response, Sample

ANSWERS, RATES = "questions_with_answers", "eval_results"
VERDICT = "is_safe(gpt)"


@dataclass(frozen=True)
class AuthorsFiles:
    """One model's answers in the authors' files.

    Attributes:
        folder: `questions_with_answers`, or the folder that holds it.
        model: the model's name in the files; None where they hold only one.
    """

    folder: Path
    model: str | None = None

    @cached_property
    def records(self) -> Mapping[str, dict[str, Any]]:
        """The files' records by scenario id.

        Raises:
            DataError: no file of a scenario there, or one that is no such file.
        """
        folder = self.folder / ANSWERS if (self.folder / ANSWERS).is_dir() else self.folder
        found = {}
        for scenario in official_scenarios():
            path = folder / f"{scenario.id}.json"
            # Folders with some scenarios only are common: the authors' script judges one at a time, too.
            if path.is_file():
                records = read_json(path)
                if not isinstance(records, dict) or not all(_is_record(record) for record in records.values()):
                    raise DataError(
                        f"{path} does not hold question records with answers",
                        'Each needs "Question" and "ans": {MODEL: {"text": ...}}.',
                    )
                found[scenario.id] = records
        if not found:
            problem = f"answers={self.folder} has no file {ANSWERS}/01-Illegal_Activitiy.json or the like"
            raise DataError(problem, "Give the folder that holds the authors' files; a run of ours: run=FOLDER.")
        return found

    @cached_property
    def name(self) -> str:
        """The model's name.

        Raises:
            ConfigError: several models, or none of that name.
        """
        names = {name: None for records in self.records.values() for r in records.values() for name in r["ans"]}
        # Never the first of several: a rate under the wrong model's name cannot be noticed later.
        chosen = self.model or (next(iter(names)) if len(names) == 1 else None)
        if chosen is None or chosen not in names:
            told = f"no answers of {chosen}" if chosen else f"answers of {len(names)} models"
            raise ConfigError(f"answers={self.folder} holds {told}", f"Choose with answers_model=: {', '.join(names)}.")
        return chosen

    @property
    def about(self) -> Mapping[str, Any]:
        """What a run would know of its answers."""
        samples = sum(len(records) for records in self.records.values())
        totals = {"calls": 0, "input_tokens": 0, "output_tokens": 0, "seconds": 0}
        dataset = {"name": ANSWERS, "samples": samples, "digest": digest(self.records)}
        record = {"model": {"name": self.name}, "defense": {}, "dataset": dataset}
        return {"choices": {"model": self.name}, "config": {}, "record": {**record, "totals": totals}}

    @cached_property
    def scenarios(self) -> Mapping[str, Scenario]:
        """Those that have a file."""
        return {scenario.id: scenario for scenario in official_scenarios() if scenario.id in self.records}

    def answers(self) -> Iterator[tuple[Sample, Outcome]]:
        """Every record's question with the model's answer; a record without one failed."""
        for scenario in self.scenarios.values():
            for question in self.questions(scenario).values():
                name = f"{scenario.id}/{question.id}/{self.name}"
                # What their models were asked beside the picture; the plain question where a record lacks it.
                sample = Sample(name, Prompt(question.texts["rephrased"] or question.plain), question, scenario)
                answer = self.records[scenario.id][question.id]["ans"].get(self.name)
                missing = Failure("missing", f"the file holds no answer of {self.name}")
                yield sample, missing if answer is None else Response(answer["text"])

    def questions(self, scenario: Scenario) -> Mapping[str, Question]:
        """The records' questions by id."""
        found = {}
        for key in sorted(self.records[scenario.id], key=by_number):
            found[key] = question_of(key, scenario, self.records[scenario.id][key])
        return found


def _is_record(record: Any) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("Question"), str):
        return False
    answers = record.get("ans")
    return isinstance(answers, dict) and all(
        isinstance(answer, dict) and isinstance(answer.get("text"), str) for answer in answers.values()
    )


def export(rows: Iterable[Mapping[str, Any]], finished: Finished, folder: Path, model: str) -> int:
    """Write a judged run in the authors' format, beside what other models have there already.

    Args:
        rows: the rows of its results file.
        finished: where its questions come from.
        folder: gets questions_with_answers/ and eval_results/.
        model: the name for its answers; further repeats of a question get "MODEL #1" and so on.

    Returns:
        How many samples have no verdict there: answers that nobody could judge, or none at all. The authors' script
        asks its own judge about the former; where an answer is missing it stops.
    """
    by_scenario: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_scenario[row["scenario"]].append(row)
    without = 0
    for scenario in finished.scenarios.values():
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        path = folder / ANSWERS / f"{scenario.id}.json"
        records, questions = _existing(path), finished.questions(scenario)
        # By scenario, as a file holds one: it is read and written once, however many answers there are.
        for row in by_scenario[scenario.name]:
            name = f"{model} #{row['repeat']}" if row["repeat"] else model
            known = questions.get(row["question_id"])
            if known is None:
                raise DataError(f"{scenario.name} {row['question_id']} is not in the dataset any more", "Restore it.")
            record = records.setdefault(row["question_id"], {**record_of(known), "ans": {}})
            # An answer of an earlier export must not survive where this run has none; nor must a rate.
            answers, count = record.setdefault("ans", {}), counts[name]
            answers.pop(name, None)
            if row["response"] is not None:
                answers[name] = {"text": row["response"]}
            # No other word: whatever stands there, their script takes the answer for judged and skips it.
            if row["response"] is not None and row["label"] in LABELS:
                answers[name][VERDICT] = row["label"]
                count[row["label"]] += 1
            else:
                without += 1
        _write(path, records)
        path = folder / RATES / f"{scenario.id}.json"
        # Other models' lines stay: the authors collect all of them in one file.
        others = {name: rates for name, rates in _existing(path).items() if name not in counts}
        _write(path, others | {name: _rates(count) for name, count in counts.items() if count})
    return without


def _rates(count: Counter[str]) -> dict[str, float]:
    return {**{label: count[label] for label in LABELS}, "attack_rate": count["unsafe"] / count.total()}


def _existing(path: Path) -> dict[str, Any]:
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise DataError(f"{path} holds a {type(found).__name__}, not the authors' records", "Move it out of the way.")
    return found


def _write(path: Path, value: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(value, indent=1, ensure_ascii=True) + "\n")
