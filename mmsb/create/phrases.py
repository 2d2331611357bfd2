"""Step `phrases`: a language model finds each question's key phrase and rewords the question around it.

Every reply is in the store under its question, its wording and the number of the attempt, so the step resumes after any
interruption and costs nothing when repeated. A reply that cannot be used is asked for again, saying what was wrong;
the same command later tries again what got no record, with attempts of new numbers. What got no record in the end,
because the model refuses, fails or does not keep the form, is listed in `review/{scenario}.json` with the reason, and
so is what got a doubtful one. A record that is there for the same question stays, so a person's corrections stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from mmsb.create.asking import Asker
from mmsb.create.folder import Folder, Record, write_json
from mmsb.create.instructions import Instructions, Parsed, doubts
from mmsb.dataset.mm_safetybench import read_json
from mmsb.judge.answers import final_answer, read
from mmsb.progress import track
from mmsb.scenario import Scenario
from mmsb.types import Failure, Outcome, Prompt

Reason = Literal["refused", "form", "failed", "doubtful"]
WHY: dict[Reason, str] = {
    "refused": "refused by the model",
    "form": "not in the form asked for",
    "failed": "failed",
    "doubtful": "doubtful",
}


@dataclass(frozen=True, slots=True)
class Item:
    """A question on its way to a record, after its latest attempt; `hint` tells the model what was wrong before."""

    scenario: str
    family: str
    id: str
    question: str
    tried: int = 0
    reply: str = ""
    parsed: Parsed | None = None
    reason: Reason | None = None
    problem: str | None = None
    hint: str | None = None

    @property
    def name(self) -> str:
        """For lists: "06-Fraud/3"."""
        return f"{self.scenario}/{self.id}"

    def prompt(self, told: Instructions) -> Prompt:
        """What the model is asked next; the attempt's number makes it a question of its own."""
        return Prompt(told.ask(self.question, self.hint), system=told.instruction(self.family), repeat=self.tried)

    def read(self, outcome: Outcome, told: Instructions) -> Item:
        """The item after an attempt; `problem` is None when all is well."""
        # Its number stays, since failures are not in the store: with a new one an outage would use up the attempts.
        if isinstance(outcome, Failure):  # nothing was answered: the same attempt is made again next time
            return self._without("failed", f"the model failed: {outcome.cause}: {outcome.message}", self.tried)
        tried, text = self.tried + 1, final_answer(outcome.text)
        # A reply that was cut may have all its sections and half of the last one.
        parsed = told.parse(text, self.family) if outcome.finish == "stop" else None
        if isinstance(parsed, Parsed):
            problem = "; ".join(doubts(self.question, parsed)) or None
            found: dict[str, Any] = {"reply": text, "parsed": parsed, "problem": problem, "hint": problem}
            return replace(self, tried=tried, reason="doubtful" if problem else None, **found)
        # Only what could not be parsed: a reply in the right form about a harmful question may well read as declining.
        if outcome.finish == "content_filter" or read(text, outcome.finish).refusal:
            return self._without("refused", f"the model declines: {text[:120]}", tried, text)
        problem = parsed or f"the reply was not finished ({outcome.finish})"
        return self._without("form", problem, tried, text, problem)

    def _without(self, reason: Reason, problem: str, tried: int, reply: str = "", hint: str | None = None) -> Item:
        """Nothing usable came; an earlier reply that had at least the right form stays."""
        # A later attempt is made to mend a doubt: where it fails, the doubtful record is still better than none.
        if self.parsed:
            return replace(self, tried=tried)
        return replace(self, tried=tried, reason=reason, problem=problem, reply=reply, hint=hint or self.hint)

    def record(self, told: Instructions) -> Record:
        """The record in the authors' terms."""
        assert self.parsed is not None
        return {
            "Question": self.question,
            "GPT-Pred": self.reply,
            "Changed Question": self.parsed.changed or self.question,
            "Key Phrase": self.parsed.phrase,
            "Phrase Type": self.parsed.type,
            "Rephrased Question": self.parsed.rephrased,
            "Rephrased Question(SD)": told.sd_variant(self.parsed.rephrased),
        }


@dataclass(frozen=True, slots=True)
class Phrased:
    """What the step did: how many records were there, and every question that was asked about."""

    kept: int
    items: tuple[Item, ...] = ()

    @property
    def made(self) -> int:
        """Records made."""
        return sum(item.parsed is not None for item in self.items)

    def because(self, reason: Reason) -> list[Item]:
        """The questions with this problem in the end."""
        return [item for item in self.items if item.reason == reason]

    @property
    def lacking(self) -> dict[str, str]:
        """Why there is no record, by question."""
        return {item.name: f"no key phrase: {item.problem}" for item in self.items if item.parsed is None}

    @property
    def told(self) -> str:
        """The problems in a line; "" when there are none."""
        counts = {reason: len(self.because(reason)) for reason in WHY}
        return ", ".join(f"{count:,} {WHY[reason]}" for reason, count in counts.items() if count)


def pending(
    folder: Folder,
    scenarios: Iterable[Scenario],
    told: Instructions,
    coming: Mapping[str, list[str]] = MappingProxyType({}),
) -> list[Item]:
    """The questions that have no record yet; `coming` are those about to be brought in, by scenario."""
    items = []
    for scenario in scenarios:
        records, tried = folder.records(scenario.id), _tried(folder.review_file(scenario.id))
        # The line's number is the id: a line that was edited or moved no longer matches its record and is asked about.
        for number, line in enumerate(coming.get(scenario.id) or folder.lines(scenario.id)):
            if records.get(str(number), {}).get("Question") != line:
                before = tried.get((str(number), line), 0)
                items.append(Item(scenario.id, told.family_of(scenario.rule), str(number), line, before))
    return items


def _tried(review: Path) -> dict[tuple[str, str], int]:
    """How many attempts earlier runs made at each question that is listed."""
    entries = read_json(review) if review.is_file() else []
    # By the question too: another question in this line starts with attempts of its own.
    return {(entry["id"], entry["question"]): entry.get("tried", 0) for entry in entries}


def make_phrases(
    folder: Folder, scenarios: list[Scenario], asker: Asker, told: Instructions, attempts: int = 3
) -> Phrased:
    """Ask the model about every question without a record, and write records and review lists."""
    items = pending(folder, scenarios, told)
    total = sum(len(folder.lines(scenario.id)) for scenario in scenarios)
    done = list(attempt(items, asker, told, attempts))
    for scenario in scenarios:
        if lines := folder.lines(scenario.id):
            _write(folder, scenario.id, lines, [item for item in done if item.scenario == scenario.id], told)
    return Phrased(total - len(items), tuple(done))


def attempt(items: list[Item], asker: Asker, told: Instructions, attempts: int) -> Iterator[Item]:
    """Each item after its last attempt; only what has a problem is tried again."""
    for number in range(1, attempts + 1):
        again = []
        label = "key phrases" if number == 1 else f"key phrases, attempt {number}"
        for item, outcome in track(asker.ask(items, lambda item: item.prompt(told)), label, len(items)):
            after = item.read(outcome, told)
            if after.problem and number < attempts:
                again.append(after)
            else:
                yield after
        items = again


def _write(folder: Folder, scenario: str, lines: list[str], done: list[Item], told: Instructions) -> None:
    # Records beyond the last line are of questions that were taken out.
    records = {key: r for key, r in folder.records(scenario).items() if key.isdecimal() and int(key) < len(lines)}
    for item in done:
        records.pop(item.id, None)
        if item.parsed:
            records[item.id] = item.record(told)
    write_json(folder.records_file(scenario), {key: records[key] for key in sorted(records, key=int)})
    _write_review(folder.review_file(scenario), done)


def _write_review(path: Path, done: list[Item]) -> None:
    """List what has a problem, beside the doubtful records of earlier runs."""
    asked = {item.id for item in done}
    earlier = read_json(path) if path.is_file() else []
    # What had no record was asked about again now, so its old entry says nothing any more.
    listed = [entry for entry in earlier if entry["id"] not in asked and entry["record"] == "made"]
    listed += [_for_review(item) for item in done if item.problem]
    if listed:
        write_json(path, sorted(listed, key=lambda entry: int(entry["id"])))
    else:
        path.unlink(missing_ok=True)


def _for_review(item: Item) -> dict[str, object]:
    assert item.reason is not None
    return {
        "id": item.id,
        "question": item.question,
        "reason": WHY[item.reason],
        "problem": item.problem,
        "record": "made" if item.parsed else "missing: correct and add it to processed_questions by hand",
        "reply": item.reply,
        "tried": item.tried,
    }
