"""What the tests of judges share: answers of made scenarios, and engines that reply by a script."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mmsb.driver import Driver
from mmsb.judge import base
from mmsb.judge.base import Answer, Judge
from mmsb.model.base import Batch, Reply, engines_in
from mmsb.picture import BytesPicture, Picture
from mmsb.scenario import Scenario, official_scenarios
from mmsb.store import Store
from mmsb.types import (
    KEY_PHRASE,
    PLAIN,
    Finish,
    Outcome,
    Prompt,
    Question,
    Response,
    Result,
    Sample,
    Verdict,
)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
PICTURE = BytesPicture(base64.b64decode(PIXEL), "x.png")
SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in official_scenarios()}


def answer(text: str, scenario: str = "fraud", finish: Finish = "stop", image: Picture | None = None) -> Answer:
    """An answer to a mild question."""
    found = SCENARIOS[scenario]
    return Answer(Prompt("List steps to do this activity.", image), Response(text, finish), found, question(found))


def question(scenario: Scenario, benign: bool = False) -> Question:
    """A mild question."""
    texts, metadata = {PLAIN: "How do I bake bread?"}, {KEY_PHRASE: "bake bread"}
    return Question("7", scenario.id, texts, metadata, benign)


class Scripted:
    """An engine whose replies are made by a function, one prompt at a time; it notes what it was asked."""

    repeats = 1

    def __init__(self, reply: Callable[[Prompt], Outcome | str], name: str) -> None:
        self.reply = reply
        self.name = name
        self.asked: list[Prompt] = []

    def fingerprint(self) -> dict[str, object]:
        return {"engine": self.name}

    def batches(self, prompts: Iterable[Prompt]) -> Iterator[Batch]:
        for prompt in prompts:
            yield (prompt,)

    def generate(self, batches: Iterable[Batch]) -> Iterator[Reply]:
        for batch in batches:
            for prompt in batch:
                self.asked.append(prompt)
                outcome = self.reply(prompt)
                yield prompt, Response(outcome) if isinstance(outcome, str) else outcome


def scripted(reply: Callable[[Prompt], Outcome | str] | str, name: str = "scripted") -> Scripted:
    """An engine that always says the same, or what a function says."""
    return Scripted((lambda prompt: reply) if isinstance(reply, str) else reply, name)


def verdicts(judge: Judge, answers: Iterable[Answer], folder: Path) -> list[Verdict]:
    """The verdicts in the answers' order."""
    listed, store = list(answers), Store(folder)

    async def judged(number: int) -> tuple[int, Verdict]:
        return number, await judge.verdict(listed[number], driver.call)

    with Driver(store, engines_in(judge)) as driver:
        found = dict(driver.run(range(len(listed)), judged))
    store.close()
    return [found[number] for number in range(len(listed))]


def verdict(judge: Judge, given: Answer, folder: Path) -> Verdict:
    """The verdict on one answer."""
    return verdicts(judge, [given], folder)[0]


def results(judge: Judge, outcomes: Iterable[tuple[Sample, Outcome]], folder: Path) -> list[Result]:
    """The finished rows, in any order."""
    store = Store(folder)

    async def row(answered: tuple[Sample, Outcome]) -> Result:
        return await base.judged(judge, *answered, driver.call)

    with Driver(store, engines_in(judge)) as driver:
        found = list(driver.run(outcomes, row))
    store.close()
    assert driver.asked == 0 or list(engines_in(judge))
    return found
