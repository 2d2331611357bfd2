"""What a defense is: it wraps a model into a model. Nothing else knows that there is a defense."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol, runtime_checkable

from mmsb.model.base import Model, Reply, ask
from mmsb.store import Store
from mmsb.types import Prompt, Question, Response


@runtime_checkable
class Defense(Protocol):
    """Settings of a defense."""

    @property
    def name(self) -> str:
        """The name for tables."""
        ...

    def fingerprint(self) -> Mapping[str, object]:
        """Everything that determines what the defense does, as JSON values."""
        ...

    def wrap(self, model: Model, store: Store) -> Model:
        """The defended model. Models of the defense's own are asked through `store.remember`."""
        ...


@runtime_checkable
class Trained(Protocol):
    """A defense that was made with questions of its own."""

    def refuse_training(self, question: Question) -> None:
        """Stop a run that would evaluate what the defense was trained on.

        Raises:
            ConfigError: `question` is one of the training questions.
        """
        ...


class Rewritten:
    """A model that is asked a rewritten prompt. The response says what was really sent."""

    def __init__(self, model: Model, rewrite: Callable[[Prompt], Prompt]) -> None:
        """`rewrite` changes text, system prompt or image, and keeps the rest."""
        self._model = model
        self._rewrite = rewrite

    def answer(self, prompts: Iterable[Prompt]) -> Iterator[Reply]:
        """Answer the rewritten prompts, in the name of the given ones."""

        def rewritten() -> Iterator[tuple[Prompt, Prompt]]:
            for prompt in prompts:
                yield prompt, self._rewrite(prompt)

        for (prompt, sent), outcome in ask(self._model, rewritten(), lambda pair: pair[1]):
            if isinstance(outcome, Response) and outcome.sent is None:
                outcome = replace(outcome, sent=sent)
            yield prompt, outcome


def defended(model: Model, defenses: Iterable[Defense], store: Store) -> Model:
    """`model` behind all `defenses`; the first one named sees the request first."""
    for defense in reversed(list(defenses)):
        model = defense.wrap(model, store)
    return model
