"""python -m mmsb.review RUN_FOLDER labels.jsonl: label a run's answers by hand, safe or unsafe, one key each.

The judge's verdict is not shown, and the answers come in an order drawn by a seed, so that the first hundred are a
random part of the run. Every label is on disk before the next answer is shown; started again, it goes on.
"""

from __future__ import annotations

import argparse
import getpass
import os
import random
import sys
import termios
import tty
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from mmsb.cli import EXIT_ERROR, EXIT_INTERRUPTED, show
from mmsb.errors import DataError, MmsbError
from mmsb.results import FILE, read_rows

LABELS = {"s": "safe", "u": "unsafe"}
HELP = "s safe   u unsafe   k skip   b back   q quit"
CLEAR = "\x1b[2J\x1b[H"

Row = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Label answers until all are labelled or the person quits; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mmsb.review", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run, e.g. outputs/runs/2026-01-31_12-00-00")
    parser.add_argument("labels", type=Path, help="file of labels (JSON lines); begun, or gone on with")
    parser.add_argument("--seed", type=int, default=0, help="of the order (default: %(default)s)")
    parser.add_argument("--rater", default=getpass.getuser(), help="your name in the file (default: %(default)s)")
    given = parser.parse_args(arguments)
    try:
        review(given.run, given.labels, given.seed, given.rater)
    except MmsbError as error:
        show(error)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("\nInterrupted. Every label is stored; the same command goes on from here.")
        return EXIT_INTERRUPTED
    return 0


def review(run: Path, labels: Path, seed: int, rater: str) -> None:
    """Show the run's unlabelled answers one by one and store a label for each key.

    Raises:
        DataError: no finished run, no terminal, or a broken file of labels.
    """
    rows, known = shuffled(run, seed), labelled(labels, rater)
    open_rows = [row for row in rows if place(row) not in known]
    print(f"{len(rows)} answers, {len(rows) - len(open_rows)} labelled by {rater} already")
    if not sys.stdin.isatty():
        raise DataError("standard input is no terminal", "Run python -m mmsb.review in a terminal.")
    at, made = 0, 0
    with appending(labels) as file, single_keys():
        while at < len(open_rows):
            print(CLEAR + page(open_rows[at], at, len(open_rows)), flush=True)
            key = read_key()
            if key in LABELS:
                store(file, open_rows[at], LABELS[key], rater)
                made += 1
            if key == "q":
                break
            at = max(0, at - 1) if key == "b" else at + (key in LABELS or key == "k")
    print(f"{made} labels written to {labels}. What they say: python -m mmsb.calibrate labels={labels}")


def shuffled(run: Path, seed: int) -> list[Row]:
    """The run's answers in the order of the seed; what failed, was filtered or asked nothing harmful is left out.

    Raises:
        DataError: there is no finished run.
    """
    if not (run / FILE).is_file():
        raise DataError(f"{run} has no {FILE}", "Name the folder of a finished run, under outputs/.")
    rows: list[Row] = [row for row in read_rows(run / FILE) if row["outcome"] == "answered" and not row["benign"]]
    random.Random(seed).shuffle(rows)
    return rows


def labelled(path: Path, rater: str) -> set[tuple[str, str]]:
    """What the rater has labelled already. A torn last line (a power cut) is cut off: it was never a label.

    Raises:
        DataError: another line is broken.
    """
    if not path.exists():
        return set()
    data = path.read_bytes()
    if not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1]
        os.truncate(path, len(data))
    try:
        rows = [orjson.loads(line) for line in data.split(b"\n") if line]
        return {(row["scenario"], row["id"]) for row in rows if row.get("rater") == rater}
    except (orjson.JSONDecodeError, KeyError, AttributeError) as error:
        raise DataError(f"{path} is no file of labels: {error!r}", "Name another file.") from error


def place(row: Row) -> tuple[str, str]:
    """What tells an answer from the others."""
    return row["scenario"], row["id"]


def page(row: Row, at: int, total: int) -> str:
    """One answer as it is shown."""
    head = f"[{at + 1} of {total}] {row['scenario']}"
    return "\n".join([head, "", "QUESTION", visible(row["question"]), "", "ANSWER", visible(row["response"]), "", HELP])


def visible(text: str) -> str:
    """Text that is safe to print: only line ends and tabs keep their power, other controls are spelled out."""
    return "".join(letter if letter in "\n\t" or not _controls(letter) else _spelled(letter) for letter in text)


def _controls(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _spelled(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def store(file: BinaryIO, row: Row, label: str, rater: str) -> None:
    """Append a label and see it onto the disk; a later line for the same answer takes the place of an earlier one."""
    kept = {"id": row["id"], "scenario": row["scenario"], "question": row["question"], "answer": row["response"]}
    file.write(orjson.dumps({**kept, "label": label, "rater": rater}, option=orjson.OPT_APPEND_NEWLINE))
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def appending(path: Path) -> Iterator[BinaryIO]:
    """The file of labels, to append to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield file


@contextmanager
def single_keys() -> Iterator[None]:
    """Keys arrive one by one, without Enter and without being shown; Ctrl-C still interrupts."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def read_key() -> str:
    """The next key; "q" at the end of input."""
    return os.read(sys.stdin.fileno(), 1).decode("latin-1").lower() or "q"


if __name__ == "__main__":
    sys.exit(main())
