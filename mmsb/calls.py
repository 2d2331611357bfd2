"""The calls of a run: JSON lines, one for every call of a model or a helper, with what it was shown and when.

    {"sample": "fraud/1/sd", "stage": "answer", "role": null, "engine": "gpt-4o", "prompt": ..., "started": ..., ...}

`sample` is a row's id; "defense.NAME" for what a defense asked before the first of them, with the stage "prepare".
Times differ from run to run, so they stand here and not in `results.jsonl`. Lines come in the order in which samples
finish; those of one sample stand together, in the order in which its calls ended.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from mmsb.errors import StoreError
from mmsb.flow import Call
from mmsb.types import Failure, clean

FILE = "calls.jsonl"
LIVE = f".{FILE}.live"  # the calls so far, for who looks on; gone once the run is finished
TOGETHER = 65_536  # bytes that are written at a time, where many samples come at once


class Calls:
    """Takes the calls of finished samples; the file gets its name at the end."""

    def __init__(self, folder: Path) -> None:
        """Who writes the folder's results holds its lock, so that nobody else writes here."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self._draft_path = folder / LIVE
        self._draft = self._draft_path.open("wb", buffering=TOGETHER)

    def __enter__(self) -> Calls:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of a full disk: who added the calls was told
            self._draft.close()

    def add(self, sample: str, calls: Iterable[Call]) -> None:
        """Write down the calls of a sample, or of a defense that prepares; `show` has them seen by who looks on.

        Raises:
            StoreError: the disk is full or cannot be written.
        """
        lines = b"".join(orjson.dumps(_values(sample, call), option=orjson.OPT_APPEND_NEWLINE) for call in calls)
        with self._writing():
            self._draft.write(lines)

    def show(self) -> None:
        """Have who looks on see the calls so far.

        Raises:
            StoreError: as `add`.
        """
        with self._writing():
            self._draft.flush()

    def keep(self) -> None:
        """Give the file its name.

        Raises:
            StoreError: the disk is full or cannot be written.
        """
        with self._writing():
            self._draft.flush()
            os.fsync(self._draft.fileno())
            # Only a finished run has it under this name, so that nobody reads the calls of a part as those of the
            # whole.
            self._draft_path.replace(self.path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError.writing(self.path, error) from error


def _values(sample: str, call: Call) -> dict[str, Any]:
    prompt, outcome = call.prompt, call.outcome
    values: dict[str, Any] = {
        "sample": sample,
        "stage": call.stage,
        "role": call.role,
        "engine": call.engine,
        "counted": call.counted,
        "prompt": clean(prompt.text),
        "system": None if prompt.system is None else clean(prompt.system),
        "image": prompt.image.identity if prompt.image else None,
        "reply": None if prompt.reply is None else clean(prompt.reply),
    }
    if isinstance(outcome, Failure):
        values |= {"response": None, "cause": outcome.cause, "message": clean(outcome.message)}
    else:
        values |= {
            "response": clean(outcome.text),
            "finish": outcome.finish,
            "seconds": outcome.seconds,
            "calls": outcome.calls,
            "input_tokens": outcome.input_tokens,
            "output_tokens": outcome.output_tokens,
            "at": outcome.at,
        }
    values["started"], values["ended"] = call.started, call.ended
    return values


class CallsOf:
    """The calls of a run, sample by sample: where each begins is kept in memory, the calls themselves are not."""

    def __init__(self, folder: Path) -> None:
        """Find where each sample's calls lie; a run without the file has none."""
        path = folder / FILE
        self._file = path.open("rb") if path.is_file() else None
        self._places: dict[str, tuple[int, int]] = {}
        offset = 0
        for line in self._file or ():
            sample = orjson.loads(line)["sample"]
            start, length = self._places.get(sample, (offset, 0))
            self._places[sample] = (start, length + len(line))
            offset += len(line)

    def __enter__(self) -> CallsOf:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file:
            self._file.close()

    def of(self, sample: str) -> list[Mapping[str, Any]]:
        """The calls of a sample, in the order in which they began."""
        # Votes and variants end in any order; who reads a trace wants to see what led to what.
        return sorted(self._read(sample), key=lambda call: float(call["started"]))

    def _read(self, sample: str) -> Iterator[Mapping[str, Any]]:
        if self._file and sample in self._places:
            start, length = self._places[sample]
            for line in os.pread(self._file.fileno(), length, start).split(b"\n")[:-1]:
                yield orjson.loads(line)
