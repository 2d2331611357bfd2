"""What the loop of a run notes on its way: what was shown, scores, labels, failures, and the price."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsb.bill import Bill
from mmsb.cost import Costs
from mmsb.defense.base import UNREADABLE
from mmsb.errors import ModelError
from mmsb.judge.languages import READ
from mmsb.judge.unrated import listed, why
from mmsb.metrics.score import Score, Scores
from mmsb.prices import money
from mmsb.results import FILE, Results
from mmsb.types import Failure, Response, Result, Sample, Verdict

EXAMPLE = 80  # letters of a reply
MANY = 0.1  # of a run's answers
ALIKE, KEPT = 5, 32  # answers that are one and the same, which one takes note of; different ones that are counted
LANGUAGES = frozenset(READ) - {"en"} | {"foreign"}  # flags of answers that are not English
TOTALS = ("calls", "input_tokens", "output_tokens", "seconds")


class Alike:
    """Texts that come again and again, in the memory of a few, however many come (Misra and Gries)."""

    def __init__(self) -> None:
        """None came yet."""
        self._kept: Counter[str] = Counter()

    def add(self, text: str) -> None:
        """Count a text; where too many differ, each loses one."""
        self._kept[text] += 1
        if len(self._kept) > KEPT:
            self._kept -= Counter(dict.fromkeys(self._kept, 1))

    def most(self) -> tuple[str, int]:
        """The most frequent text, and how often it came at least: at most one in `KEPT` of all less than it did."""
        return self._kept.most_common(1)[0] if self._kept else ("", 0)


@dataclass
class Notes:
    """What the loop notes on its way: how many samples there are, a digest of what was asked, and the price.

    Of a sample that is finished no more than its score stays in memory.
    """

    count: int = 0
    questions: Counter[str] = field(default_factory=Counter)  # by scenario, whatever repeats there are
    shown: Any = field(default_factory=hashlib.sha256)
    scores: Scores = field(default_factory=Scores)
    labels: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    unjudged: list[tuple[str, Failure]] = field(default_factory=list)  # answers on which the judge's model failed
    unread: int = 0  # answers about which the judge's reply was no verdict
    example: str = ""  # the first such reply
    unread_check: str = ""  # the first reply to a defense's check that could not be read
    unrated: Counter[str] = field(default_factory=Counter)  # answers without a label by reason, where they are it
    abroad: int = 0  # answers in another language than English
    blind: int = 0  # answers that say they see no picture, where one was sent
    alike: Alike = field(default_factory=lambda: Alike())  # of the answers that count as unsafe
    totals: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*TOTALS, "unreadable_checks"), 0))
    costs: Costs = field(default_factory=Costs)

    def so_far(self, bill: Bill | None) -> Iterator[str]:
        """What a progress line says beside how far it is; of money what is spent now, not what the store saved."""
        # Over what was rated: answers that are missing would pull a share of all towards nought.
        if rated := self.labels["safe"] + self.labels["unsafe"]:
            yield f"ASR {100 * self.labels['unsafe'] / rated:.1f} %"
        if lost := len(self.failures) + len(self.unjudged):
            yield f"{lost} failed"
        if bill and (spent := bill.dollars):
            yield money(spent)

    def misread(self) -> str | None:
        """What to say where the judge's replies were no verdicts; None where all were."""
        # A model that answers in another form leaves all unparsed, and a table without rates does not say why.
        told = f"judge: its replies about {self.unread} of {self.count} answers are no verdict, e.g. {self.example}"
        return told if self.unread else None

    def odd(self) -> Iterator[str]:
        """Lines about checks and answers that tell nothing, each with an example or the reason, and lost pictures."""
        yield from filter(None, (self.misread(), listed(self.unrated, self.count)))
        # A count says that a defense did less than it seems; what came in place of a word says why.
        if self.unread_check:
            yield f"defense: replies to its checks could not be read, e.g. {self.unread_check}"
        # One or two are the model's own; a server that drops the pictures makes all of them.
        if self.blind > MANY * self.count:
            yield f"{self.blind} of {self.count} answers say that they see no picture: does the server pass them on?"
        text, times = self.alike.most()
        if times >= ALIKE and times > MANY * self.count:
            again = f"{times} of {self.count} answers are the same and count as unsafe: {_excerpt(text)}"
            yield f"{again}: does the model say that, or what stands in front of it?"

    def failed(self, folder: Path) -> ModelError | None:
        """What to say where samples, or verdicts on them, failed; None where none did."""
        told = [
            f"{len(found)} of {self.count} {what}, e.g. {found[0][0]}: {found[0][1].cause}: {found[0][1].message}"
            for what, found in (("samples failed", self.failures), ("answers have no verdict", self.unjudged))
            if found
        ]
        if not told:
            return None
        # Servers say it in many ways; the word is in all of them.
        known = all("logprob" in failure.message.lower() for _, failure in self.unjudged)
        hint = " judge.probabilities=false asks for no logprobs." if self.unjudged and known else ""
        again = f"They are listed in {folder / FILE} and in no rate. The same command asks only them again."
        return ModelError("; ".join(told), again + hint)


def noting(samples: Iterator[Sample], noted: Notes, results: Results) -> Iterator[Sample]:
    """Pass the samples on, noting their order and what they show."""
    for sample in samples:
        results.expect(sample.id)
        noted.count += 1
        noted.questions[sample.question.scenario] += not sample.prompt.repeat
        # the key holds text, picture and settings: two runs with one digest asked the very same
        noted.shown.update(sample.prompt.key.encode())
        yield sample


def note(result: Result, noted: Notes) -> None:
    """Count a finished sample."""
    question, verdict = result.sample.question, result.verdict
    noted.labels[verdict.label] += 1
    noted.abroad += not LANGUAGES.isdisjoint(verdict.flags)
    noted.blind += result.sample.prompt.image is not None and "no_picture" in verdict.flags
    if verdict.label == "unsafe" and isinstance(result.outcome, Response) and not result.sample.prompt.repeat:
        # Refusals are alike; who helps with different questions says different things. An error in an answer's place
        # ("upstream request failed") is no refusal to any judge.
        noted.alike.add(result.outcome.text)
    if reason := why(verdict.label, verdict.flags, verdict.raw, verdict.details):
        noted.unrated[reason] += 1
    estimated, solution = verdict.details.get("comprehended") == "estimate", question.solution
    told = (question.scenario, question.id, verdict.label, verdict.refusal, question.benign, verdict.comprehended)
    graded = (solution is not None, verdict.correct, solution.together if solution else "")
    noted.scores.add(Score(*told, estimated, *graded))
    if isinstance(result.outcome, Response):
        for total in TOTALS:
            noted.totals[total] += getattr(result.outcome, total) or 0
        unread = [step.answer for step in result.outcome.steps if step.role == UNREADABLE]
        noted.totals["unreadable_checks"] += len(unread)
        if unread and not noted.unread_check:
            noted.unread_check = _excerpt(unread[0])
        # Of a panel a tie is none either, and each member has a line of its own.
        if verdict.label == "unparsed" and verdict.raw.strip() and "members" not in verdict.details:
            noted.unread += 1
            noted.example = noted.example or _shown(verdict)
        if verdict.label == "failed":
            noted.unjudged.append((result.sample.id, _why(verdict)))
    else:
        # in no total: what failed has cost nothing that anybody counted
        noted.failures.append((result.sample.id, result.outcome))


def _excerpt(reply: str) -> str:
    return repr(" ".join(reply.split())[:EXAMPLE])


def _shown(verdict: Verdict) -> str:
    said = _excerpt(verdict.raw)
    lacking = "no_probability" in verdict.flags
    return f"{said} without the probabilities that judge.threshold needs" if lacking else said


def _why(verdict: Verdict) -> Failure:
    """Why a judge failed; of a panel, the first of its members that did."""
    members: Mapping[str, Mapping[str, str]] = verdict.details.get("member_details", {})  # type: ignore[assignment]
    told = next((one for one in (verdict.details, *members.values()) if "judge_failure" in one), {})
    return Failure(str(told.get("judge_failure", "judge")), str(told.get("judge_message", "")))
