"""What a dataset is: questions by scenario, and the pictures that exist for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from mmsb.picture import Picture
from mmsb.scenario import Scenario
from mmsb.types import Question

ImageKind = Literal["SD", "TYPO", "SD_TYPO"]


@runtime_checkable
class Dataset(Protocol):
    """Questions and pictures; reading it twice gives the same records in the same order."""

    @property
    def name(self) -> str:
        """The name for tables and records."""
        ...

    def questions(self, scenario: Scenario) -> Iterator[Question]:
        """The scenario's questions, in the order of their ids.

        Raises:
            DataError: a file is missing or broken.
        """
        ...

    def picture(self, question: Question, kind: ImageKind) -> Picture | None:
        """The picture of that kind for this question, None where the dataset has none."""
        ...


@runtime_checkable
class OwnScenarios(Protocol):
    """A dataset that is not divided into the benchmark's scenarios and brings its own."""

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """Its own scenarios; they take the place of `scenario=`."""
        ...


@runtime_checkable
class OwnFont(Protocol):
    """A dataset that says in which font its key phrases are typed."""

    @property
    def font(self) -> Path | None:
        """The font's file; None for the default."""
        ...
