"""The results file of a run: JSON lines, one row a sample, in the dataset's order.

    pandas.read_json("outputs/runs/.../results.jsonl", lines=True)

The file is a pure function of configuration and stored answers: an interrupted and resumed run writes the
same bytes as an uninterrupted one (wall times stand in `run.json`, not here).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import orjson

from mmsb.digest import draft_of
from mmsb.errors import ConfigError, DataError, StoreError
from mmsb.schemas import parse_row
from mmsb.types import Failure, Prompt, Question, Result, Verdict, clean

FILE = "results.jsonl"
LIVE = f".{FILE}.live"  # the rows so far, for who looks on; gone once the run is finished, and read by no run

TOGETHER = 65_536  # bytes that are written at a time, where many rows come at once
SHORT = 200  # characters of what cannot be written, for people
LINE = 4_096  # bytes; most rows are shorter


class Results:
    """Takes rows in any order while the run goes on, and puts them in order at the end."""

    def __init__(self, folder: Path) -> None:
        """Rows wait in a file of their own, and are put in order at the end."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self._lock = _claimed(folder)
        self._live = (folder / LIVE).open("w+b", buffering=TOGETHER)  # ours alone: the lock is held
        self._numbers: dict[str, int] = {}  # of the samples that are under way
        self._offsets = array("Q")  # where the rows lie, in their order
        self._end = self._count = 0
        self._digest: Any = hashlib.sha256()  # of the rows as they came; None once one came out of order
        self._written = False

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of a full disk: who added the rows was told
            self._live.close()
        # Of a run that failed or was interrupted it stays, as of a killed one: without it nobody hears of that run.
        if self._written:
            Path(self._live.name).unlink(missing_ok=True)
        # While it is still held: once let go, it may be another run's.
        Path(self._lock.name).unlink(missing_ok=True)
        self._lock.close()

    def expect(self, name: str) -> None:
        """A sample begins: its row's place is after those that began before it.

        Raises:
            DataError: another sample of that name is under way.
        """
        if name in self._numbers:
            raise DataError(f"two samples are called {name}", "Give the questions of a scenario different ids.")
        self._numbers[name] = len(self._offsets)
        self._offsets.append(0)

    def add(self, result: Result) -> None:
        """Take one finished row; `show` has it seen by who looks on.

        Raises:
            StoreError: the disk is full or cannot be written.
            ConfigError: a judge of one's own gave details that are no JSON.
        """
        try:
            line = orjson.dumps(row(result), option=orjson.OPT_APPEND_NEWLINE)
        except orjson.JSONEncodeError as error:
            raise ConfigError(
                f"a Verdict's details cannot be written: {error}: {str(dict(result.verdict.details))[:SHORT]}",
                "Give them as text, numbers, True, False, None, lists and dicts with text as keys.",
            ) from error
        with self._writing():
            self._live.write(line)
        number = self._numbers.pop(result.sample.id)
        self._offsets[number] = self._end
        self._end += len(line)
        if number != self._count:
            self._digest = None
        elif self._digest:
            self._digest.update(line)
        self._count += 1

    def show(self) -> None:
        """Have who looks on see the rows so far.

        Raises:
            StoreError: as `add`.
        """
        with self._writing():
            self._live.flush()

    def write(self) -> str:
        """Write the final file, rows in the order in which their samples began, all or nothing.

        Returns:
            The digest of the file (64 hex digits of SHA-256), which ties `run.json` to it.

        Raises:
            StoreError: the disk is full or cannot be written.
        """
        assert not self._numbers, "a sample that began has no row"
        self.show()
        if self._digest:  # as of a run whose answers were all in the store
            with self._writing():
                os.fsync(self._live.fileno())
                Path(self._live.name).replace(self.path)
            self._written = True
            return str(self._digest.hexdigest())
        final, written = draft_of(self.path), hashlib.sha256()
        try:
            with self._writing(), final.open("wb") as file:
                for offset in self._offsets:
                    line = self._line(offset)
                    written.update(line)
                    file.write(line)
                file.flush()
                # On the disk before it has its name: a power cut leaves the old file or the new one, never an empty
                # one.
                os.fsync(file.fileno())
            final.replace(self.path)
            self._written = True
        finally:
            final.unlink(missing_ok=True)
        return written.hexdigest()

    def _line(self, offset: int) -> bytes:
        length, end = LINE, 0
        while not end:
            piece = os.pread(self._live.fileno(), length, offset)
            length, end = 4 * length, piece.find(b"\n") + 1
            assert end or piece, "a row that was written is gone"
        return piece[:end]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError.writing(self.path, error) from error


def claimed(folder: Path) -> bool:
    """Whether a run is writing to the folder now."""
    try:
        with (folder / ".lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _claimed(folder: Path) -> IO[bytes]:
    """The folder's lock, held as long as it is open: a process that dies lets go of it.

    Raises:
        StoreError: another run is writing there.
    """
    lock = (folder / ".lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreError(
            f"another run is writing to {folder}",
            "Wait for it, or give this one a folder of its own: hydra.run.dir=...",
        ) from error
    return lock


def row(result: Result) -> dict[str, Any]:
    """A result as plain values: what was asked, what was shown, what was answered, who judged it and how."""
    prompt, question, verdict = result.sample.prompt, result.sample.question, result.verdict
    return {
        "id": result.sample.id,
        "scenario": result.sample.scenario.name,
        "question_id": question.id,
        "benign": question.benign,
        "repeat": prompt.repeat,
        "question": clean(question.plain),
        "key_phrase": clean(question.key_phrase),
        **_asked(prompt),
        **_answered(result),
        "label": verdict.label,
        "refusal": verdict.refusal,
        "flags": list(verdict.flags),
        "score": verdict.score,
        "comprehended": verdict.comprehended,
        **_solved(question, verdict),
        "judge_reply": clean(verdict.raw),
        "judge_details": dict(verdict.details),
    }


def _solved(question: Question, verdict: Verdict) -> dict[str, Any]:
    """Of a test question: what is right, and how far the answer is."""
    return {"solution": asdict(question.solution), "correct": verdict.correct} if question.solution else {}


def _asked(prompt: Prompt) -> dict[str, Any]:
    image = prompt.image.identity if prompt.image else None
    system = None if prompt.system is None else clean(prompt.system)
    return {"prompt": clean(prompt.text), "system": system, "image": image}


def _answered(result: Result) -> dict[str, Any]:
    outcome = result.outcome
    if isinstance(outcome, Failure):
        return {"outcome": "failed", "response": None, "cause": outcome.cause, "message": clean(outcome.message)}
    answered: dict[str, Any] = {
        "outcome": "filtered" if outcome.finish == "content_filter" else "answered",
        "response": clean(outcome.text),
        "finish": outcome.finish,
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "calls": outcome.calls,
        "steps": [{"role": s.role, "prompt": clean(s.prompt), "answer": clean(s.answer)} for s in outcome.steps],
    }
    # Behind a defense, what reached the model is what is told: the question itself stands in the row already.
    return (_asked(outcome.sent) if outcome.sent else {}) | answered


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a results file.

    Raises:
        DataError: a line is not a row; names file and line.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield dict(parse_row(line))
            except DataError as error:
                raise DataError(f"{path}, line {number}: {error.problem}", "Run the same command again.") from error
