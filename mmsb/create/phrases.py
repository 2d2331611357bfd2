"""Step `phrases`: a language model finds each question's key phrase and rewords the question around it.

Every reply is in the store, so the step resumes after any interruption and costs nothing when repeated. A reply
that cannot be used is asked for again, saying what was wrong. What cannot be parsed in the end gets no record;
what is parsed but doubtful gets one. Both are listed in `review/{scenario}.json`. A record that is already there
for the same question stays as it is, so a person's corrections stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from mmsb.create.asking import Asker
from mmsb.create.folder import Folder, Record, write_json
from mmsb.create.instructions import FAMILIES, Family, Parsed, doubts, instruction, parse, request, sd_variant
from mmsb.dataset.mm_safetybench import read_json
from mmsb.progress import track
from mmsb.scenario import Scenario
from mmsb.types import Failure, Outcome, Prompt


@dataclass(frozen=True, slots=True)
class Item:
    """A question on its way to a record, after its latest attempt; `hint` tells the model what was wrong before."""

    scenario: str
    family: Family
    id: str
    question: str
    reply: str = ""
    parsed: Parsed | None = None
    problem: str | None = None
    hint: str | None = None

    @property
    def prompt(self) -> Prompt:
        """What the model is asked next."""
        return Prompt(request(self.question, self.hint), system=instruction(self.family))

    def read(self, outcome: Outcome) -> Item:
        """The item after an attempt; `problem` is None when all is well."""
        if isinstance(outcome, Failure):
            failed = f"the model failed: {outcome.cause}: {outcome.message}"
            return self if self.parsed else replace(self, problem=failed)
        parsed: Parsed | str = f"the reply was not finished ({outcome.finish})"
        if outcome.finish == "stop":
            parsed = parse(outcome.text, self.family)
        if isinstance(parsed, Parsed):
            problem = "; ".join(doubts(self.question, parsed)) or None
            return replace(self, reply=outcome.text, parsed=parsed, problem=problem, hint=problem)
        if self.parsed:  # an earlier reply had at least the right form
            return self
        return replace(self, reply=outcome.text, problem=parsed, hint=parsed)

    @property
    def record(self) -> Record:
        """The record in the authors' terms."""
        assert self.parsed is not None
        return {
            "Question": self.question,
            "GPT-Pred": self.reply,
            "Changed Question": self.parsed.changed or self.question,
            "Key Phrase": self.parsed.phrase,
            "Phrase Type": self.parsed.type,
            "Rephrased Question": self.parsed.rephrased,
            "Rephrased Question(SD)": sd_variant(self.parsed.rephrased),
        }


@dataclass(frozen=True, slots=True)
class Phrased:
    """What the step did: how many records were there, made, doubtful among them, and could not be made."""

    kept: int
    made: int
    doubtful: int
    unparsed: int


def pending(
    folder: Folder, scenarios: Iterable[Scenario], coming: Mapping[str, list[str]] = MappingProxyType({})
) -> list[Item]:
    """The questions that have no record yet; `coming` are those about to be brought in, by scenario."""
    items = []
    for scenario in scenarios:
        records = folder.records(scenario.id)
        for number, line in enumerate(coming.get(scenario.id) or folder.lines(scenario.id)):
            if records.get(str(number), {}).get("Question") != line:
                items.append(Item(scenario.id, FAMILIES[scenario.rule], str(number), line))
    return items


def make_phrases(folder: Folder, scenarios: list[Scenario], asker: Asker, attempts: int) -> Phrased:
    """Ask the model about every question without a record, and write records and review lists."""
    items = pending(folder, scenarios)
    total = sum(len(folder.lines(scenario.id)) for scenario in scenarios)
    done = list(attempt(items, asker, attempts))
    for scenario in scenarios:
        if lines := folder.lines(scenario.id):
            _write(folder, scenario.id, lines, [item for item in done if item.scenario == scenario.id])
    made = sum(item.parsed is not None for item in done)
    doubtful = sum(item.parsed is not None and item.problem is not None for item in done)
    return Phrased(total - len(items), made, doubtful, len(done) - made)


def attempt(items: list[Item], asker: Asker, attempts: int) -> Iterator[Item]:
    """Each item after its last attempt; only what has a problem is tried again."""
    for number in range(1, attempts + 1):
        again = []
        label = "key phrases" if number == 1 else f"key phrases, attempt {number}"
        for item, outcome in track(asker.ask(items, lambda item: item.prompt), label, len(items)):
            read = item.read(outcome)
            if read.problem and number < attempts:
                again.append(read)
            else:
                yield read
        items = again


def _write(folder: Folder, scenario: str, lines: list[str], done: list[Item]) -> None:
    records = {key: r for key, r in folder.records(scenario).items() if key.isdecimal() and int(key) < len(lines)}
    for item in done:
        records.pop(item.id, None)
        if item.parsed:
            records[item.id] = item.record
    write_json(folder.records_file(scenario), {key: records[key] for key in sorted(records, key=int)})
    _write_review(folder.review_file(scenario), done)


def _write_review(path: Path, done: list[Item]) -> None:
    """List what has a problem, beside the doubtful records of earlier runs."""
    asked = {item.id for item in done}
    earlier = read_json(path) if path.is_file() else []
    listed = [entry for entry in earlier if entry["id"] not in asked and entry["record"] == "made"]
    listed += [_for_review(item) for item in done if item.problem]
    if listed:
        write_json(path, sorted(listed, key=lambda entry: int(entry["id"])))
    else:
        path.unlink(missing_ok=True)


def _for_review(item: Item) -> dict[str, object]:
    return {
        "id": item.id,
        "question": item.question,
        "problem": item.problem,
        "record": "made" if item.parsed else "missing: correct and add it to processed_questions by hand",
        "reply": item.reply,
    }
