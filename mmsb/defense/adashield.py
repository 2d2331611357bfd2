"""Adaptive shield prompts: a pool refined by a defender model on training questions, retrieved by similarity.

For each training question the target is asked behind the current prompt; where it does not refuse, the defender
rewrites the prompt, a few rounds long. At run time the target reads out the text in the image, and the prompt whose
training question is most like query and image text goes with the query. After Wang et al., AdaShield (ECCV 2024,
arXiv 2403.09513; github.com/SaFoLab-WISC/AdaShield at 305df573). Its placements are kept: query, prompt, query again
for LLaVA and MiniGPT-v2, query and prompt for CogVLM (inference_attack_code/ infer_qr.py). Different here:
similarity is TF-IDF over query and image text (theirs CLIP's over query and picture), the defender sees no chat of
its former tries, and a refined prompt is kept without their validation on further questions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec
from pydantic import NonNegativeFloat, PositiveInt

from mmsb.config import settings
from mmsb.defense.base import Ask, Defense, Ready, fill
from mmsb.defense.wording import check_text
from mmsb.digest import digest, digest_file, write_atomically
from mmsb.errors import ConfigError, ModelError
from mmsb.flow import Unanswered, gather
from mmsb.image_mode.typography import TypedText
from mmsb.judge.answers import final_answer
from mmsb.model.base import Engine
from mmsb.types import Prompt, Response


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
        placement: "between" asks query, prompt, query; "after" query, prompt; "before" prompt, query.
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
    placement: Literal["between", "after", "before"] = "between"
    pool_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse texts that would be the same for every sample.

        Raises:
            ConfigError: one is empty, or lacks a place.
        """
        check_text(self.name, "text", self.text)
        check_text(self.name, "transcribe", self.transcribe)
        check_text(self.name, "refine", self.refine, "text", "answer")

    def fingerprint(self) -> dict[str, object]:
        """The recipe of the pool (or the digest of its file), and how it is used."""
        recipe = {
            "text": self.text,
            "refine": self.refine,
            "training": [[item.query, item.phrase] for item in self.training],
            "defender": dict(self.defender.fingerprint()) if self.defender else None,
            "rounds": self.rounds,
            "placement": self.placement,
        }
        # The recipe, not the pool: it must be known before the first call, and the pool follows from it through the
        # store. Of a file, its content, once that is known to be a pool.
        pool = digest_file(self.pool_file) if self.pool_file and self.made else digest(recipe)
        return {
            "pool": pool,
            "transcribe": self.transcribe,
            "threshold": self.threshold,
            "placement": self.placement,
        }

    @cached_property
    def made(self) -> tuple[Shield, ...]:
        """The pool that `pool_file` holds; empty where one is to be made.

        Raises:
            ConfigError: not such a file, or neither a file nor training questions.
        """
        if self.pool_file:
            return read_pool(self.pool_file)
        if not self.training:
            raise ConfigError(f"defense.{self.name}.training is empty", "Name training questions, or a pool_file.")
        return ()

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The key phrases of the questions that the pool was or will be made with."""
        return tuple(item.phrase for item in self.made or self.training)

    async def prepare(self, ask: Ask, folder: Path) -> Defense:
        """The defense with its pool: from its file, or made now.

        Every call goes through the store, so a second time it is free. What was made is kept in `folder` as a file that
        `pool_file` takes.

        Raises:
            ConfigError: neither training questions nor a pool file.
            ModelError: a call failed.
        """
        if self.made:
            return Shielded(self, self.made)
        pool = [Shield(item.query, item.phrase, self.text) for item in self.training]
        try:
            for _ in range(self.rounds):
                # Round by round for all: the rewrites of a round are one batch of a local model.
                pool = await gather(*(self._refined(shield, ask) for shield in pool))
        except Unanswered as error:
            raise ModelError(
                f"defense.{self.name}: the pool could not be made: {error}", "The same command goes on from there."
            ) from error
        rows = [asdict(shield) for shield in pool]
        # By its content: two recipes that end in one pool share a file, and none is written over.
        write_atomically(folder / f"{self.name}-{digest(rows)[:12]}.json", json.dumps(rows, indent=1))
        return Shielded(self, tuple(pool))

    def placed(self, text: str, query: str) -> str:
        """The prompt and the query in their order."""
        parts = {"between": (query, text, query), "after": (query, text), "before": (text, query)}
        return "\n".join(parts[self.placement])

    async def _refined(self, shield: Shield, ask: Ask) -> Shield:
        """Ask the target behind the prompt; let the defender rewrite it where the target did not refuse."""
        attempt = Prompt(self.placed(shield.text, shield.query), TypedText(shield.phrase))
        reply = await ask.model(attempt, "attempt")
        if (await ask.reading(reply)).refusal:
            return shield  # it works already; another wording could only lose that
        rewrite = Prompt(fill(self.refine, answer=final_answer(reply.text), **asdict(shield)))
        # Past all other defenses: these would answer the request for a rewrite in the defender's place.
        better = await ask.helper(self.defender or ask.target, rewrite, "rewrite")
        return replace(shield, text=final_answer(better.text) or shield.text)


@dataclass(frozen=True)
class Shielded(Ready):
    """The defense with its pool."""

    settings: AdaShieldAdaptive
    pool: tuple[Shield, ...]

    @cached_property
    def likeness(self) -> Callable[[str], list[float]]:
        """How like a text is each training question of the pool."""
        return likeness([f"{shield.query}\n{shield.phrase}" for shield in self.pool])

    def nearest(self, text: str) -> Shield | None:
        """The shield whose training question is most like a text; None where none is like it enough."""
        scores = self.likeness(text)
        # Of equal ones the first: a choice that fell otherwise on another machine would be another defense.
        best = scores.index(max(scores))
        return self.pool[best] if scores[best] >= self.settings.threshold else None

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's answer, asked behind the prompt that fits the question."""
        seen = ""
        if prompt.image:
            seen = final_answer((await ask.model(replace(prompt, text=self.settings.transcribe), "transcript")).text)
        # With the text in the image: the query alone says "this activity", and all queries would be alike.
        shield = self.nearest(f"{prompt.text}\n{seen}")
        text = self.settings.placed(shield.text, prompt.text) if shield else prompt.text
        return await ask(replace(prompt, text=text), "answer")


def read_pool(path: Path) -> tuple[Shield, ...]:
    """A pool from its JSON file: a list of {"query", "phrase", "text"}.

    Raises:
        ConfigError: not such a file, or nothing in it.
    """
    try:
        if pool := msgspec.json.decode(path.read_bytes(), type=tuple[Shield, ...]):
            return pool
        raise ConfigError(f"pool_file={path} holds no prompts", "Leave it out, and a pool is made.")
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"pool_file={path} is not a pool: {error}", 'It is a JSON list of {"query", "phrase", "text"}.'
        ) from error


def likeness(known: Sequence[str]) -> Callable[[str], list[float]]:
    """A function that says how like a text is each known one: cosine of TF-IDF over words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    matrix = vectorizer.fit_transform(known)
    return lambda text: list((matrix @ vectorizer.transform([text]).T).toarray()[:, 0])
