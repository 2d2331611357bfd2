"""Answers that exist already: those of a finished run, to be judged again without asking its model anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from PIL import Image

from mmsb.config import TARGET_PACKAGES, build_plain
from mmsb.dataset.base import Dataset, OwnScenarios
from mmsb.errors import DataError
from mmsb.image_mode import ImageMode
from mmsb.picture import Picture
from mmsb.run import SavedRun
from mmsb.scenario import Scenario, official_scenarios
from mmsb.types import KEY_PHRASE, PLAIN, Failure, Outcome, Prompt, Question, Response, Sample, Solution, Step

T = TypeVar("T")


class Finished(Protocol):
    """Finished answers, wherever they were made."""

    @property
    def name(self) -> str:
        """Whose answers they are."""
        ...

    @property
    def about(self) -> Mapping[str, Any]:
        """Its `run.json`, as far as there is one: choices, config, record."""
        ...

    @property
    def scenarios(self) -> Mapping[str, Scenario]:
        """The scenarios that have answers, by id."""
        ...

    def answers(self) -> Iterator[tuple[Sample, Outcome]]:
        """Samples and what came back, in their order."""
        ...

    def questions(self, scenario: Scenario) -> Mapping[str, Question]:
        """The scenario's whole records, by id, for export."""
        ...


@dataclass(frozen=True)
class FinishedRun:
    """The answers of a run.

    Attributes:
        folder: where its results.jsonl and run.json lie.
        packages: the packages that its dataset's class may come from.
    """

    folder: Path
    packages: Sequence[str] = TARGET_PACKAGES

    @cached_property
    def saved(self) -> SavedRun:
        """The run as it lies on disk.

        Raises:
            DataError: there is no finished run.
        """
        return SavedRun.open(self.folder)

    @property
    def about(self) -> Mapping[str, Any]:
        """The run's record."""
        return self.saved.values

    @property
    def name(self) -> str:
        """The model's name as the run's configuration has it."""
        model = self.about["config"].get("model") or {}
        return str(model.get("name") or self.about["choices"].get("model"))

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset that the run read, as it lies there now."""
        # By its recorded settings, not by today's: a default may have changed since.
        return self._built("dataset", Dataset)  # type: ignore[type-abstract]

    @cached_property
    def image_mode(self) -> ImageMode:
        """How the run asked."""
        return self._built("image_mode", ImageMode)

    def _built(self, part: str, kind: type[T]) -> T:
        # Its values are data, whoever wrote them: an interpolation among them would read this machine's environment.
        if part not in self.about["config"]:
            raise DataError(
                f"run={self.folder} has no {part}: it is of answers that were made elsewhere",
                "Judge these again by answers=FOLDER, as that run did.",
            )
        return build_plain(self.about["config"][part], part, kind, self.packages)

    @cached_property
    def named(self) -> Mapping[str, Scenario]:
        """The scenarios by the plain name that rows hold."""
        if isinstance(self.dataset, OwnScenarios):
            return {scenario.name: scenario for scenario in self.dataset.scenarios}
        # Rows hold names alone; a scenario that the run added is nowhere but in its own configuration.
        chosen = self.about["config"].get("scenario") or {}
        added = [build_plain(chosen[key], f"scenario.{key}", Scenario, self.packages) for key in chosen]
        return {scenario.name: scenario for scenario in (*official_scenarios(), *added)}

    @cached_property
    def scenarios(self) -> Mapping[str, Scenario]:
        """Those with rows, by id, in the order of the rows."""
        names = dict.fromkeys(row["scenario"] for row in self.saved.rows())
        return {self.named[name].id: self.named[name] for name in names}

    def answers(self) -> Iterator[tuple[Sample, Outcome]]:
        """Every row's sample and outcome."""
        for row in self.saved.rows():
            yield self.sample(row), outcome(row)

    def sample(self, row: Mapping[str, Any]) -> Sample:
        """What was asked, as far as the row tells; the picture is found again when a judge looks at it."""
        if (scenario := self.named.get(row["scenario"])) is None:
            raise DataError(
                f"{row['id']} is of the scenario {row['scenario']}, which its run.json does not know",
                "Run the same command again: what was answered is in the store.",
            )
        texts, metadata = {PLAIN: row["question"]}, {KEY_PHRASE: row["key_phrase"]}
        solution = Solution(**row["solution"]) if "solution" in row else None
        question = Question(row["question_id"], scenario.id, texts, metadata, row["benign"], solution)
        # Most judges look at no picture: drawing all of them would take longer than judging.
        picture = RunPicture(row["image"], self, question) if row["image"] else None
        return Sample(row["id"], Prompt(row["prompt"], picture, row["system"], row["repeat"]), question, scenario)

    @cached_property
    def records(self) -> Mapping[str, Mapping[str, Question]]:
        """The dataset's records by scenario id and id."""
        return {
            name: {question.id: question for question in self.dataset.questions(scenario)}
            for name, scenario in self.scenarios.items()
        }

    def questions(self, scenario: Scenario) -> Mapping[str, Question]:
        """The scenario's records in the dataset."""
        return self.records[scenario.id]


@dataclass(frozen=True)
class RunPicture:
    """A picture of a finished run: known by what the run noted, drawn or read again only when it is looked at."""

    identity: str
    run: FinishedRun
    question: Question

    @cached_property
    def _real(self) -> Picture:
        record = self.run.records[self.question.scenario].get(self.question.id)
        picture = self.run.image_mode.picture(record, self.run.dataset) if record else None
        if picture is None:
            raise DataError(
                f"{self.question.scenario}/{self.question.id}: the picture of the run is not there any more",
                "Restore the dataset that the run's run.json names.",
            )
        if picture.identity != self.identity:  # else a judge's reply would be kept for a picture it never saw
            raise DataError(
                f"{self.question.scenario}/{self.question.id}: the picture is not the one that the model was shown: "
                "a defense changed that, or the dataset has changed since",
                "Judge it with a judge that does not look at pictures.",
            )
        return picture

    def encoded(self) -> tuple[bytes, str]:
        """The image file's bytes and media type."""
        return self._real.encoded()

    def load(self) -> Image.Image:
        """The decoded image."""
        return self._real.load()


def outcome(row: Mapping[str, Any]) -> Outcome:
    """What a row says came back."""
    if row["outcome"] == "failed":
        return Failure(row["cause"], row["message"])
    return Response(
        row["response"],
        row["finish"],
        row["input_tokens"],
        row["output_tokens"],
        calls=row["calls"],
        steps=tuple(Step(**step) for step in row["steps"]),
    )
