"""Adaptive shield prompts: a pool refined by a defender model on training questions, retrieved by similarity.

For each training question the target is asked behind the current prompt; where it does not refuse, the defender
rewrites the prompt, a few rounds long. At run time the target reads out the text in the image, and the prompt
whose training question is most like query and image text goes in front of the query.
Source of the idea: Wang et al., AdaShield (ECCV 2024, arXiv 2403.09513); there similarity is CLIP's, here TF-IDF.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import NonNegativeFloat, PositiveInt

from mmsb.config import settings
from mmsb.defense.talk import Staged, Talk, fill, say
from mmsb.digest import digest, digest_file, write_atomically
from mmsb.errors import ConfigError, ModelError
from mmsb.image_mode.typography import TypedText
from mmsb.judge.answers import read
from mmsb.model.base import Engine, Model
from mmsb.store import Store
from mmsb.types import Failure, Prompt, Question


@settings
class Training:
    """A question to train on: `query` is asked, `phrase` is typed into its image."""

    query: str
    phrase: str


@dataclass(frozen=True, slots=True)
class Shield:
    """A defense prompt and the training question it was made for."""

    query: str
    phrase: str
    text: str


@settings
class AdaShieldAdaptive:
    """A defense prompt chosen for each question.

    Attributes:
        name: the name for tables.
        text: the prompt that every training question starts from.
        refine: asks the defender for a better prompt; {text}, {query}, {phrase} and {answer} stand for what was tried.
        transcribe: asks the target for the text in the image.
        training: the training questions; none of them may be evaluated.
        defender: the model that rewrites prompts; None lets the target do it.
        rounds: how often a prompt is rewritten at most.
        threshold: cosine similarity below which a question is asked without a prompt.
        pool_file: a pool made before, in place of training.
    """

    name: str
    text: str
    refine: str
    transcribe: str
    training: tuple[Training, ...] = ()
    defender: Engine | None = None
    rounds: PositiveInt = 2
    threshold: NonNegativeFloat = 0.0
    pool_file: Path | None = None

    def fingerprint(self) -> dict[str, object]:
        """The recipe of the pool (or the digest of its file), and how it is used."""
        recipe = {
            "text": self.text,
            "refine": self.refine,
            "training": [[item.query, item.phrase] for item in self.training],
            "defender": dict(self.defender.fingerprint()) if self.defender else None,
            "rounds": self.rounds,
        }
        pool = digest_file(self.pool_file) if self.pool_file else digest(recipe)
        return {"pool": pool, "transcribe": self.transcribe, "threshold": self.threshold}

    def wrap(self, model: Model, store: Store) -> Model:
        """The model, asked behind the prompt that fits the question."""

        def transcript(talk: Talk) -> Prompt | None:
            return replace(talk.prompt, text=self.transcribe) if talk.prompt.image else None

        def stages(talks: Iterator[Talk]) -> Iterator[Talk]:
            nearest = retriever(self._pool(model, store), self.threshold)

            def shielded(talk: Talk) -> Prompt:
                shield = nearest(f"{talk.prompt.text}\n{talk.text('transcript')}")
                return replace(talk.prompt, text=f"{shield.text}\n{talk.prompt.text}") if shield else talk.prompt

            return say(model, say(model, talks, "transcript", transcript), "answer", shielded)

        return Staged(stages)

    def refuse_training(self, question: Question) -> None:
        """Stop a run that would evaluate a training question, whatever dataset and id it comes under.

        Raises:
            ConfigError: the question's key phrase is one that was trained on.
        """
        if question.key_phrase.casefold() in {item.phrase.casefold() for item in self.training}:
            raise ConfigError(
                f"{question.scenario}/{question.id} asks about {question.key_phrase!r}, a training question of "
                f"defense.{self.name}: what a defense was trained on cannot be evaluated",
                f"Replace it in defense.{self.name}.training, or leave it out of the dataset.",
            )

    def _pool(self, model: Model, store: Store) -> tuple[Shield, ...]:
        """The pool: from its file, or made now. Every call goes through the store, so a second time it is free."""
        if self.pool_file:
            return read_pool(self.pool_file)
        if not self.training:
            raise ConfigError(f"defense.{self.name}.training is empty", "Name training questions, or a pool_file.")
        defender = store.remember(self.defender) if self.defender else model
        pool = tuple(Shield(item.query, item.phrase, self.text) for item in self.training)
        for _ in range(self.rounds):
            pool = self._refined(pool, model, defender)
        rows = [asdict(shield) for shield in pool]
        write_atomically(store.root / "pools" / f"{self.name}-{digest(rows)[:12]}.json", json.dumps(rows, indent=1))
        return pool

    def _refined(self, pool: tuple[Shield, ...], model: Model, defender: Model) -> tuple[Shield, ...]:
        """One round: ask the target behind each prompt; let the defender rewrite those that it did not refuse."""

        def attempt(talk: Talk) -> Prompt:
            shield = shields[talk.prompt.id]
            return replace(talk.prompt, text=f"{shield.text}\n{shield.query}", image=TypedText(shield.phrase))

        def rewrite(talk: Talk) -> Prompt | None:
            if read(talk.last.text, talk.last.finish).refusal:
                return None
            shield = asdict(shields[talk.prompt.id])
            return replace(talk.prompt, text=fill(self.refine, answer=talk.text("attempt"), **shield))

        shields = {f"training/{number}": shield for number, shield in enumerate(pool)}
        talks: Iterator[Talk] = (Talk(Prompt(name, "")) for name in shields)
        for talk in say(defender, say(model, talks, "attempt", attempt), "rewrite", rewrite):
            if isinstance(talk.outcome, Failure):
                raise ModelError(
                    f"defense.{self.name}: the pool could not be made: {talk.outcome.message}",
                    "The same command goes on from there.",
                )
            shield = shields[talk.prompt.id]
            shields[talk.prompt.id] = replace(shield, text=talk.text("rewrite").strip() or shield.text)
        return tuple(shields.values())


def read_pool(path: Path) -> tuple[Shield, ...]:
    """A pool from its JSON file: a list of {"query", "phrase", "text"}.

    Raises:
        ConfigError: not such a file.
    """
    try:
        return tuple(Shield(row["query"], row["phrase"], row["text"]) for row in json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"pool_file={path} is not a pool: {error!r}", 'It is a JSON list of {"query", "phrase", "text"}.'
        ) from error


def retriever(pool: tuple[Shield, ...], threshold: float) -> Callable[[str], Shield | None]:
    """A function that finds the shield whose training question is most like a text (TF-IDF, cosine)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    known = vectorizer.fit_transform([f"{shield.query}\n{shield.phrase}" for shield in pool])

    def nearest(text: str) -> Shield | None:
        scores = (known @ vectorizer.transform([text]).T).toarray()[:, 0]
        best = int(scores.argmax())
        return pool[best] if scores[best] >= threshold else None

    return nearest
