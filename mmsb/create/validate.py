"""Step `validate`: check any folder in the authors' layout, ours or theirs.

An error is what would stop or falsify an evaluation: a record that cannot be read or is not what its id says, a
question without its picture, a picture of another question, an unreadable or flat picture, a file that is not what the
manifest says. Record and picture are held together by their content, so that swapped files are found without a
manifest: typed text is drawn anew and compared, a stack with its parts, a drawn picture's own prompt with the record,
the authors' records with their digests.
A remark is what a person should know: duplicates, doubtful phrases, what nothing could be held against.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmsb.create.authors import departures, published
from mmsb.create.card import read_manifest
from mmsb.create.compare import ALIKE, SAME
from mmsb.create.folder import KINDS, Folder, Record
from mmsb.create.gaps import read_gaps
from mmsb.create.instructions import Parsed, doubts
from mmsb.create.look import TYPED, Case, Seen, look
from mmsb.dataset.mm_safetybench import MMSafetyBench
from mmsb.digest import digest_file
from mmsb.errors import DataError
from mmsb.font import default_font, dejavu
from mmsb.image_mode import Font
from mmsb.image_mode.typography import TypedText
from mmsb.processes import on_all_cores
from mmsb.progress import track
from mmsb.scenario import Scenario, official_scenarios

ASKED = ("Question", "Rephrased Question", "Rephrased Question(SD)")  # what a run without options asks
NAMED = 5  # examples in a line of the report
Records = Mapping[str, Record]


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


def validate(folder: Folder, workers: int | None = None, font: Font | None = None) -> Report:
    """Check everything in the folder; `font` has the size and width of its typed text, and the font to try first."""
    report = Report()
    names = folder.scenarios()
    if not names:
        raise DataError(f"{folder.root} has no processed_questions/", "Name the dataset's folder: root=...")
    records = {name: _records(folder, name, report) for name in names}
    cases = _cases(folder, records, font or Font(), report)
    seen = list(track(on_all_cores(look, cases, workers), "questions checked", len(cases)))
    for item in seen:
        for level, what, where in item.findings:
            (report.errors if level == "error" else report.remarks)[what].append(where)
    for name in names:
        _check_records(folder, name, records[name], report)
        _check_pictures(folder, name, records[name], report)
    _check_typing(seen, report)
    _check_twins(seen, report)
    _check_strays(folder, names, report)
    _check_manifest(folder, {path: value for item in seen for path, value in item.digests.items()}, report)
    return report


def _records(folder: Folder, name: str, report: Report) -> Records:
    path = folder.records_file(name)
    if not path.is_file():
        report.errors["questions without records"].append(name)
        return {}
    # A stand-in: reading records needs no more than the id, and a set of one's own has no scenario of ours.
    scenario = Scenario(id=name, name=name, title=name, group="harm", rule="harm", criterion="")
    try:
        keys = [question.id for question in MMSafetyBench(root=folder.root).questions(scenario)]
    except DataError as error:
        report.errors["unreadable records"].append(error.problem)
        return {}
    found, gaps = folder.records(name), read_gaps(folder)
    # The evaluation's reader leaves gaps out; here they count, so that a declared gap is told from a lost record.
    return {key: found[key] for key in (*keys, *(key for key in found if f"{name}/{key}" in gaps and key not in keys))}


def _cases(folder: Folder, records: Mapping[str, Records], font: Font, report: Report) -> list[Case]:
    """Every question with its phrase in each font that it may be typed in."""
    # In the order of likelihood, each once: `look` stops at the first that fits.
    fonts = dict.fromkeys(path for path in (font.path, folder.font, default_font(), dejavu()) if path)
    cases = []
    for name, group in records.items():
        for key, record in group.items():
            phrase = record["Key Phrase"]
            typed = list(_typed(phrase, fonts, font)) if phrase.strip() else []
            if phrase.strip() and not typed:
                report.errors["phrases with letters that no font at hand has (font.fallback=[...])"].append(
                    f"{name}/{key}"
                )
            elif typed and typed[0].is_cut:
                report.remarks["phrases with a word that is cut off at the picture's edge"].append(f"{name}/{key}")
            cases.append(Case(folder.root, name, key, phrase, tuple(typed)))
    return cases


def _typed(phrase: str, fonts: Iterable[Path], font: Font) -> Iterable[TypedText]:
    for path in fonts:
        typed = TypedText(phrase, path, font.size, font.width, font.fallback)
        try:
            _ = typed.fonts
        except DataError:
            continue
        yield typed


def _check_records(folder: Folder, name: str, records: Records, report: Report) -> None:
    """Edited records, duplicates, doubtful phrases, and questions that have no record."""
    report.counts[name] = {"questions": len(records)}
    texts = Counter(record["Question"] for record in records.values())
    report.remarks["questions that occur twice"] += [f"{name}: {text}" for text, n in texts.items() if n > 1]
    report.errors["records that are not the authors' under this id"] += [
        f"{name}/{key} {how}" for key, how in departures(name, records).items()
    ]
    for key, record in records.items():
        empty = [name for name in ASKED if not record[name].strip()]
        report.errors["records with an empty text"] += [f"{name}/{key} {field}" for field in empty]
        parsed = Parsed(
            record["Changed Question"], record["Key Phrase"], record["Phrase Type"], record["Rephrased Question"]
        )
        if not parsed.phrase.strip():
            typed = folder.picture(name, "TYPO", key).is_file()  # as from the mirror, which has no phrases
            group = report.remarks if typed else report.errors
            # An error where nothing shows the phrase: then the question cannot be asked at all.
            group["questions without a key phrase"].append(f"{name}/{key}")
        elif found := doubts(record["Question"], parsed):
            what = (
                "key phrases that the rephrased question contains"
                if found[-1].startswith("the rephrased")
                else "key phrases that do not occur in their question"
            )
            report.remarks[what].append(f"{name}/{key}")
    gaps = read_gaps(folder)
    for number, line in enumerate(folder.lines(name)):
        where = f"{name}/{number}"
        if str(number) not in records:
            group = report.remarks if gaps.get(where) else report.errors
            group["questions without a record"].append(where)
        elif records[str(number)]["Question"] != line:
            report.errors["records of another question than questions/ has in this line"].append(where)
    for scenario in official_scenarios():
        if scenario.id == name and len(records) != (count := len(published(name))):
            report.remarks["scenarios with another number of questions than published"].append(
                f"{name}: {len(records)}, not {count}"
            )


def _check_pictures(folder: Folder, name: str, records: Records, report: Report) -> None:
    """Each question has its pictures, each picture its question; a gap that the card declares is a remark."""
    gaps = read_gaps(folder)
    for kind in KINDS:
        # No names that begin with a dot: copies from a Mac bring a `._0.jpg` for each picture.
        files = (folder.root / "imgs" / name / kind).glob("[!.]*.jpg")
        there = {path.stem for path in files if path.is_file()}  # no link to a file that is not here
        report.counts[name][kind] = len(there)
        missing = [f"{name}/{key}" for key in records if key not in there]
        # None at all is a choice: the main job draws them. Some and not others is a loss.
        if kind != "SD" and not there:
            report.remarks[f"no {kind} pictures: the main job makes them when it runs"].append(name)
            missing = []
        for where in missing:
            scenario, _, key = where.partition("/")
            group, said = (report.remarks, " (declared)") if gaps.get(where) else (report.errors, "")
            group[f"missing {kind} pictures{said}"].append(f"{scenario}/{kind}/{key}")
        report.errors["pictures without a question"] += [f"{name}/{kind}/{key}" for key in sorted(there - set(records))]


def _check_typing(seen: list[Seen], report: Report) -> None:
    """Where most typed text is one font's to the pixel, what is only like it was typed for a phrase that is like it."""
    distances = [(item, kind, *item.typed[kind]) for item in seen for kind in TYPED if kind in item.typed]
    # One font for a whole set: a picture that is only alike is then another phrase, not another font.
    exact = Counter(font for _, _, distance, font in distances if distance <= SAME)
    # More than half: a set of a foreign font, of which a few happen to fit ours, is not held against ours.
    settled = exact.total() > len(distances) / 2
    for item, kind, distance, _ in distances:
        where = f"{item.case.scenario}/{kind}/{item.case.id}"
        if SAME < distance <= ALIKE and settled:
            report.errors["typed text that is not this question's phrase"].append(where)
        elif SAME < distance <= ALIKE:
            report.remarks["typed text in another font than those at hand: like its phrase"].append(where)
    alone = [item.case.name for item in seen if item.likeness and not item.bound]
    report.remarks["SD pictures that nothing ties to their question: neither a prompt nor a stack"] += alone


def _check_twins(seen: list[Seen], report: Report) -> None:
    """One and the same picture for different phrases is a misplaced picture; one that looks the same may be."""
    same, like = defaultdict(set), defaultdict(set)
    for item in seen:
        if item.likeness is None:
            continue
        case = item.case
        # With the phrase: scenario 08 repeats questions, and one picture for one phrase is right.
        same[item.digests[Folder(case.root).picture(case.scenario, "SD", case.id)]].add((case.phrase, case.name))
        like[item.likeness].add((case.phrase, case.name))
    # Equal files look the same too: they are told once, as the error.
    told = set()
    for groups, found in (
        (same, report.errors["one picture for different phrases"]),
        (like, report.remarks["pictures that look the same for different phrases"]),
    ):
        for group in groups.values():
            names = ", ".join(sorted(name for _, name in group))
            if len({phrase for phrase, _ in group}) > 1 and names not in told:
                told.add(names)
                found.append(names)


def _check_strays(folder: Folder, names: list[str], report: Report) -> None:
    homes = {path.parent.parent.name for path in (folder.root / "imgs").glob("*/*/[!.]*.jpg")}
    report.errors["pictures of a scenario without records"] += sorted(homes - set(names))


def _check_manifest(folder: Folder, digests: Mapping[Path, str], report: Report) -> None:
    """Every file is what the manifest says, and none has gone."""
    listed = read_manifest(folder)
    # A set without a manifest is the authors' own, or not finished: nothing to hold it against.
    if not listed:
        return
    for path in digests:
        if (name := path.relative_to(folder.root).as_posix()) not in listed:
            report.remarks["pictures that the manifest does not list (steps=[card] lists them)"].append(name)
    for name, expected in listed.items():
        path = folder.root / name
        if not path.is_file():
            report.errors["files that the manifest lists and that are gone"].append(name)
        # `look` has read the pictures already; only records and questions are read again.
        elif expected != (digests.get(path) or digest_file(path)):
            report.errors["files that are not what the manifest says"].append(name)


def _with_examples(what: str, names: list[str]) -> str:
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names):,} {what}: {', '.join(names[:NAMED])}{more}"
