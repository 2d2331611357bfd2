"""Step `questions`: bring questions into the dataset's folder.

From a folder of `{scenario}.txt` (one question a line) they become lines to be phrased; from a folder of
`{scenario}.json` (the authors' processed records) they are taken as they are, byte for byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from mmsb.create.folder import Folder, write_bytes
from mmsb.create.own import Own, write_option
from mmsb.digest import write_atomically
from mmsb.errors import DataError
from mmsb.scenario import Scenario


def bring_questions(folder: Folder, source: Path, scenarios: list[Scenario]) -> str:
    """Take the scenarios' questions or records from the folder `source`.

    Returns:
        What was taken, for people.

    Raises:
        DataError: a scenario has neither file there, or a file holds no questions.
    """
    taken: Counter[str] = Counter()
    for scenario in scenarios:
        path = find(source, scenario)
        if path.suffix == ".json":
            write_bytes(folder.records_file(scenario.id), path.read_bytes())
            # Lines of an earlier set would be taken for questions that lack a record.
            folder.lines_file(scenario.id).unlink(missing_ok=True)
            taken["records"] += len(folder.questions(scenario))
        else:
            lines = read_lines(path)
            write_atomically(folder.lines_file(scenario.id), "\n".join(lines) + "\n")
            taken["questions"] += len(lines)
    return " and ".join(f"{count:,} {what}" for what, count in taken.items())


def find(source: Path, scenario: Scenario) -> Path:
    """The scenario's file in a folder of questions or records.

    Raises:
        DataError: there is none.
    """
    # Records first: where both are there, phrasing the lines again would pay for what is done.
    for path in (source / f"{scenario.id}.json", source / f"{scenario.id}.txt"):
        if path.is_file():
            return path
    raise DataError(
        f"{source} has neither {scenario.id}.txt nor {scenario.id}.json",
        "Name the scenarios that it has: scenario=[fraud,sex], or another folder: questions=...",
    )


def read_lines(path: Path) -> list[str]:
    """The questions of a file, one a line; blank lines are none.

    Raises:
        DataError: it holds no questions, or is not UTF-8 text.
    """
    try:
        # `splitlines` also breaks at U+2028, as every reader of the written file does: a line is one question for all.
        found = tidy(path.read_text(encoding="utf-8-sig").splitlines())
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}", "Save it as UTF-8.") from error
    if not found:
        raise DataError(f"{path} holds no questions", "Write one question a line.")
    return found


def tidy(lines: Iterable[str]) -> list[str]:
    """Questions without blanks around them or line breaks within."""
    # The same blanks for all sources, since a record is known by its question's exact text.
    return [" ".join(line.split()) for line in lines if line.strip()]


def bring_own(folder: Folder, own: Own, source: Path) -> str:
    """Take the questions of a scenario file, and make the scenario an option for the main job."""
    scenario = own.scenario
    if own.questions:
        write_atomically(folder.lines_file(scenario.id), "\n".join(tidy(own.questions)) + "\n")
    option = write_option(own, folder.root)
    return f"{len(folder.lines(scenario.id)):,} questions; scenario={own.name} is written to {option}"
