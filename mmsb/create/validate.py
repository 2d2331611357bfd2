"""Step `validate`: check any folder in the authors' layout, ours or theirs.

An error is what would stop or falsify an evaluation: a record that cannot be read, a question without its picture, a
picture without its question, an unreadable or flat picture, a stack that does not fit its parts, a file that is not
what the manifest says. A remark is what a person should know: duplicates, doubtful phrases, counts that are not the
benchmark's, typed text that is left to be drawn by the main job.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from mmsb.create.card import read_manifest
from mmsb.create.folder import KINDS, Folder
from mmsb.create.instructions import Parsed, doubts
from mmsb.create.pictures import is_flat
from mmsb.dataset.base import ImageKind
from mmsb.dataset.mm_safetybench import MMSafetyBench
from mmsb.digest import digest_bytes
from mmsb.errors import DataError
from mmsb.picture import decode
from mmsb.processes import on_all_cores
from mmsb.progress import track
from mmsb.scenario import Scenario, official_scenarios
from mmsb.types import PHRASE_TYPE, Question

OFFICIAL_COUNTS = (97, 163, 44, 144, 122, 154, 109, 153, 139, 130, 167, 109, 149)
NAMED = 5  # examples in a line of the report


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture that was read: its size and its file's digest, or what is wrong with it."""

    path: Path
    size: tuple[int, int] = (0, 0)
    digest: str = ""
    problem: str | None = None


@dataclass
class Report:
    """What was found: counts by scenario, and examples by kind of error or remark."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    remarks: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def lines(self) -> list[str]:
        """The findings in words, errors first."""
        found = [("error", self.errors), ("remark", self.remarks)]
        return [
            f"{kind}: {_with_examples(what, names)}" for kind, group in found for what, names in group.items() if names
        ]

    @property
    def passed(self) -> bool:
        """Whether there are no errors."""
        return not any(self.errors.values())


def validate(folder: Folder, workers: int | None = None) -> Report:
    """Check everything in the folder."""
    report = Report()
    names = folder.scenarios()
    if not names:
        raise DataError(f"{folder.root} has no processed_questions/", "Name the dataset's folder: root=...")
    questions = {name: _questions(folder, name, report) for name in names}
    seen = _look(folder, workers)
    for name in names:
        _check_records(folder, name, questions[name], report)
        _check_pictures(folder, name, questions[name], seen, report)
    for stray in sorted({path.parent.parent.name for path in seen} - set(names)):
        report.errors["pictures of a scenario without records"].append(stray)
    _check_manifest(folder, seen, report)
    _check_official(names, report)
    return report


def _questions(folder: Folder, name: str, report: Report) -> dict[str, Question]:
    path = folder.records_file(name)
    if not path.is_file():
        report.errors["questions without records"].append(name)
        return {}
    scenario = Scenario(id=name, name=name, title=name, group="harm", rule="harm", criterion="")
    try:
        twice = [key for key, count in Counter(_keys(path)).items() if count > 1]
        found = {question.id: question for question in MMSafetyBench(root=folder.root).questions(scenario)}
    except DataError as error:
        report.errors["unreadable records"].append(error.problem)
        return {}
    report.errors["ids that occur twice"] += [f"{name}/{key}" for key in twice]
    return found


def _keys(path: Path) -> list[str]:
    """The file's ids as they are written: a JSON parser keeps only the last of two."""
    pairs: list[list[str]] = []
    try:
        json.loads(
            path.read_text(encoding="utf-8"), object_pairs_hook=lambda items: pairs.append([k for k, _ in items])
        )
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error
    return pairs[-1] if pairs else []


def _check_records(folder: Folder, name: str, questions: dict[str, Question], report: Report) -> None:
    """Duplicates, doubtful phrases, and questions that have no record."""
    report.counts[name] = {"questions": len(questions)}
    texts = Counter(question.plain for question in questions.values())
    report.remarks["questions that occur twice"] += [f"{name}: {text}" for text, n in texts.items() if n > 1]
    for question in questions.values():
        wordings, kind = question.texts, question.metadata.get(PHRASE_TYPE, "")
        parsed = Parsed(wordings["changed"], question.key_phrase, kind, wordings["rephrased"])
        if not question.key_phrase.strip():
            typed = folder.picture(name, "TYPO", question.id).is_file()  # as from the mirror, which has no phrases
            group = report.remarks if typed else report.errors
            group["questions without a key phrase"].append(f"{name}/{question.id}")
        elif found := doubts(question.plain, parsed):
            what = (
                "key phrases that the rephrased question contains"
                if "contains" in found[-1]
                else "key phrases that do not occur in their question"
            )
            report.remarks[what].append(f"{name}/{question.id}")
    lines = folder.lines(name)
    report.errors["questions without a record"] += [f"{name}/{n}" for n in range(len(lines)) if str(n) not in questions]


def _check_pictures(
    folder: Folder, name: str, questions: dict[str, Question], seen: dict[Path, Seen], report: Report
) -> None:
    """Each question has its pictures, each picture its question, and each stack the size of its parts."""
    for kind in KINDS:
        home = folder.root / "imgs" / name / kind
        there = {path.stem for path in seen if path.parent == home}
        report.counts[name][kind] = len(there)
        missing = [f"{name}/{kind}/{key}" for key in questions if key not in there]
        if kind != "SD" and not there:
            report.remarks[f"no {kind} pictures: the main job makes them when it runs"].append(name)
        else:
            report.errors[f"missing {kind} pictures"] += missing
        report.errors["pictures without a question"] += [
            f"{name}/{kind}/{key}" for key in sorted(there - set(questions))
        ]
    sizes = {(kind, key): _size(folder, seen, name, kind, key) for kind in KINDS for key in questions}
    for key in questions:
        (top, bottom, stacked) = (sizes[kind, key] for kind in KINDS)
        if top and bottom and stacked and stacked != (max(top[0], bottom[0]), top[1] + bottom[1]):
            report.errors["stacked pictures that do not fit their parts"].append(f"{name}/{key}")
    mine = [item for path, item in seen.items() if path.parent.parent.name == name]
    for item in mine:
        if item.problem:
            report.errors[item.problem].append(_name(item.path))
    _check_twins(folder, name, questions, seen, report)


def _check_twins(
    folder: Folder, name: str, questions: dict[str, Question], seen: dict[Path, Seen], report: Report
) -> None:
    """One and the same picture for different phrases is a misplaced picture."""
    by_digest = defaultdict(set)
    for key, question in questions.items():
        if item := seen.get(folder.picture(name, "SD", key)):
            by_digest[item.digest].add((question.key_phrase, key))
    for group in by_digest.values():
        if len({phrase for phrase, _ in group}) > 1:
            report.errors["one picture for different phrases"].append(
                f"{name}/SD/" + ",".join(sorted(k for _, k in group))
            )


def _check_manifest(folder: Folder, seen: dict[Path, Seen], report: Report) -> None:
    listed = read_manifest(folder)
    for path, item in seen.items():
        name = path.relative_to(folder.root).as_posix()
        if listed and name not in listed:
            report.remarks["pictures that the manifest does not list (steps=[card] lists them)"].append(_name(path))
        elif listed and listed[name] != item.digest:
            report.errors["pictures that are not what the manifest says"].append(_name(path))


def _check_official(names: list[str], report: Report) -> None:
    """Remark where a scenario of the benchmark has another number of questions or pictures than published."""
    for scenario, published in zip(official_scenarios(), OFFICIAL_COUNTS, strict=True):
        if scenario.id in names and (count := report.counts[scenario.id]["questions"]) != published:
            report.remarks["another number of questions than published"].append(
                f"{scenario.id}: {count}, not {published}"
            )


def _look(folder: Folder, workers: int | None) -> dict[Path, Seen]:
    """Read every picture."""
    paths = sorted((folder.root / "imgs").glob("*/*/[!.]*.jpg"))
    return {item.path: item for item in track(on_all_cores(look, paths, workers), "pictures read", len(paths))}


def look(path: Path) -> Seen:
    """Decode a picture whole."""
    data = path.read_bytes()
    try:
        image = decode(data, str(path))
    except DataError:
        return Seen(path, digest=digest_bytes(data), problem="unreadable pictures")
    problem = "pictures of one flat colour" if is_flat(image) and path.parent.name == "SD" else None
    return Seen(path, image.size, digest_bytes(data), problem)


def _size(folder: Folder, seen: dict[Path, Seen], name: str, kind: ImageKind, key: str) -> tuple[int, int] | None:
    item = seen.get(folder.picture(name, kind, key))
    return item.size if item and not item.problem else None


def _name(path: Path) -> str:
    return "/".join((*path.parts[-3:-1], path.stem))


def _with_examples(what: str, names: list[str]) -> str:
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names):,} {what}: {', '.join(names[:NAMED])}{more}"
