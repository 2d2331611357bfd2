"""What can go wrong, as people should read it.

    MmsbError
    |-- ConfigError      a setting is unknown, missing or of the wrong kind
    |-- DataError        a file of the dataset is missing, broken or too large
    |   `-- MissingPicture   a question has no picture and none can be drawn
    |-- StoreError       the store of answers cannot be read or written
    |-- ModelError       the model cannot be loaded or reached at all
    `-- TrackingError    results could not be logged (they are safe in the store)

A single question that got no answer is not an exception but a `Failure` (see `mmsb.types`).
"""

from __future__ import annotations

from pathlib import Path


class MmsbError(Exception):
    """An error for a person: what is wrong (naming the value), and what to do next."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        """Keep the two sentences apart so that the terminal can set them apart."""
        super().__init__(f"{problem}\n{remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[MmsbError], tuple[str, ...]]:
        """Cross to another process with both sentences: exceptions are else made again of one text."""
        return type(self), (self.problem, self.remedy)


class ConfigError(MmsbError):
    """A setting is unknown, missing or of the wrong kind."""


class DataError(MmsbError):
    """A file of the dataset is missing, broken or too large."""


class MissingPicture(DataError):
    """A question has no picture for this image mode, and none can be drawn."""


class MissingGlyphs(DataError):
    """Fonts lack letters of a text that is to be typed.

    Attributes:
        letters: those that they lack.
    """

    def __init__(self, problem: str, remedy: str, letters: str) -> None:
        """See `MmsbError`."""
        super().__init__(problem, remedy)
        self.letters = letters

    def __reduce__(self) -> tuple[type[MmsbError], tuple[str, ...]]:
        """With its letters too: it is made again with all that it was made of."""
        return type(self), (self.problem, self.remedy, self.letters)


class StoreError(MmsbError):
    """The store of answers, or a run's results, cannot be read or written."""

    @classmethod
    def writing(cls, path: Path, error: OSError) -> StoreError:
        """What stopped the writing of a file: a full disk, say. What was answered before is stored."""
        mend = "Free space or set output_dir to another disk"
        if isinstance(error, FileNotFoundError):  # of what was made for it before
            mend = "See what deletes files there"
        told = f"{mend}, then run the same command: it goes on where it stopped."
        return cls(f"cannot write {path}: {error.strerror}", told)

    @classmethod
    def reading(cls, path: Path, error: OSError) -> StoreError:
        """What stopped the reading of a file."""
        return cls(f"cannot read {path}: {error.strerror}", "Check the file's permissions.")


class ModelError(MmsbError):
    """The model cannot be loaded or reached at all."""


class TrackingError(MmsbError):
    """Results could not be logged; they are safe in the store."""
