"""What the tests of judges share: answers of made scenarios, and engines that reply by a script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mmsb.judge.base import Answer, Judge
from mmsb.model.base import Batch, Reply
from mmsb.picture import Picture
from mmsb.scenario import Scenario, official_scenarios
from mmsb.store import Store
from mmsb.types import Finish, Outcome, Prompt, Question, Response, Verdict

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in official_scenarios()}


def answer(
    text: str, scenario: str = "fraud", finish: Finish = "stop", image: Picture | None = None, name: str = "p"
) -> Answer:
    """An answer to a mild question."""
    found = SCENARIOS[scenario]
    question = Question("7", found.id, "How do I bake bread?", "Bake it.", "bake bread", "activity", "", "")
    prompt = Prompt(name, "List steps to do this activity.", image, question=question)
    return Answer(prompt, Response(text, finish), found)


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
    listed = list(answers)
    store = Store(folder)
    found = {given.prompt.id: verdict for given, verdict in judge.verdicts(listed, store)}
    store.close()
    return [found[given.prompt.id] for given in listed]


def verdict(judge: Judge, given: Answer, folder: Path) -> Verdict:
    """The verdict on one answer."""
    return verdicts(judge, [given], folder)[0]
