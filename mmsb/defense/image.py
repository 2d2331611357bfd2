"""Defenses on the image side: a changed picture, or several randomly changed ones and a vote over the answers.

JPEG, blur and resizing were built against adversarial noise; they are baselines here, since typed text mostly
survives them. The vote follows the idea of smoothing by random copies (SmoothLLM, arXiv 2310.03684, for text).
"""

from __future__ import annotations

import io
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import ClassVar, Literal

from PIL import Image, ImageFilter
from pydantic import PositiveFloat, PositiveInt

from mmsb.config import settings
from mmsb.defense.base import Ask
from mmsb.digest import digest
from mmsb.errors import ConfigError
from mmsb.flow import gather
from mmsb.picture import Picture, decode
from mmsb.types import Prompt, Response

How = Literal["jpeg", "blur", "resize", "crop", "rotate"]
RANDOM: tuple[How, ...] = ("crop", "rotate")
# Bounds of what Pillow takes, and short of what would change nothing: a run "with JPEG" at 100 is nearly one without.
STRENGTHS: dict[How, tuple[float, float]] = {  # see `ImageDefense.how`
    "jpeg": (1, 95),
    "blur": (0.01, 1000),
    "resize": (0.001, 1),
    "crop": (0.001, 1),
    "rotate": (0.01, 180),
}
# High, so that it is the change that is measured and not this saving.
QUALITY = 95  # of the JPEG in which a changed picture is handed on
KEPT, LARGE = 4, 2_000_000  # decoded pictures that are kept; pixels of one that is not


def jpeg(image: Image.Image, quality: float, chance: random.Random) -> Image.Image:
    """Through a JPEG of that quality, 1 to 95."""
    return decode(_encode(image, round(quality)), "a recompressed picture")


def blur(image: Image.Image, radius: float, chance: random.Random) -> Image.Image:
    """Gaussian blur, radius in pixels."""
    return image.filter(ImageFilter.GaussianBlur(radius))


def resize(image: Image.Image, share: float, chance: random.Random) -> Image.Image:
    """Down to that share of its sides and back up."""
    small = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    # Back to its size: models fit pictures by their shape, which is not what is tried here.
    return image.resize(small, Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)


def crop(image: Image.Image, share: float, chance: random.Random) -> Image.Image:
    """A random window with that share of each side."""
    width, height = max(1, round(image.width * share)), max(1, round(image.height * share))
    left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def rotate(image: Image.Image, degrees: float, chance: random.Random) -> Image.Image:
    """Turned by a random angle of at most that many degrees either way, on black, nothing cut off."""
    angle = chance.uniform(-degrees, degrees)
    # Expanded: cut to the frame, a turn would take the typed line off and look like a defense.
    return image.rotate(angle, Image.Resampling.BICUBIC, expand=True)


CHANGES: dict[How, Callable[[Image.Image, float, random.Random], Image.Image]] = {
    "jpeg": jpeg,
    "blur": blur,
    "resize": resize,
    "crop": crop,
    "rotate": rotate,
}


class Decoded:
    """The pictures that were decoded last, for any thread: several copies are cut from each, one after the other."""

    def __init__(self) -> None:
        """There is none."""
        self._images: OrderedDict[str, Future[Image.Image]] = OrderedDict()
        self._lock = Lock()

    def of(self, picture: Picture) -> Image.Image:
        """A picture, decoded; not to be changed.

        Raises:
            DataError: it cannot be read.
        """
        with self._lock:
            begun = self._images.get(picture.identity)
            if begun is None:
                mine = self._images[picture.identity] = Future()
                while len(self._images) > KEPT:
                    self._images.popitem(last=False)
        if begun:
            return begun.result()
        try:
            image = picture.load()
        except BaseException as error:
            self._forget(picture)  # whoever comes next looks for himself
            mine.set_exception(error)
            raise
        if image.width * image.height > LARGE:
            self._forget(picture)
        mine.set_result(image)
        return image

    def _forget(self, picture: Picture) -> None:
        with self._lock:
            self._images.pop(picture.identity, None)


DECODED = Decoded()


@dataclass(frozen=True)
class Transformed:
    """A picture after a change. `draw` tells apart several random changes of one picture."""

    picture: Picture
    how: How
    strength: float
    draw: int = 0

    @cached_property
    def identity(self) -> str:
        """Digest of the picture, the change, its strength and its draw."""
        # By the recipe: the key of an answer is known without drawing the picture, which a resumed run then never does.
        return digest(["transformed", self.picture.identity, self.how, self.strength, self.draw])

    def encoded(self) -> tuple[bytes, str]:
        """The changed picture as JPEG."""
        chance = random.Random(self.identity)  # the same change on every machine, a different one for each draw
        changed = CHANGES[self.how](DECODED.of(self.picture), self.strength, chance)
        return _encode(changed, QUALITY), "image/jpeg"

    def load(self) -> Image.Image:
        """The changed picture as it reads back from its JPEG."""
        return decode(self.encoded()[0], "a changed picture")


@settings
class ImageDefense:
    """A change of the picture before the model sees it; prompts without a picture pass as they are.

    Attributes:
        name: the name for tables.
        how: "jpeg" (strength: quality), "blur" (radius in pixels), "resize" (share of the sides), "crop" (share kept of
            each side, at random) or "rotate" (most degrees either way, at random).
        strength: see `how`.
        votes: how many changed copies are asked about. The majority decides between refusing and answering, a tie
            refuses; the first reply on the winning side is the answer.
    """

    name: str
    how: How
    strength: PositiveFloat
    votes: PositiveInt = 1

    NEEDS_PICTURE: ClassVar[bool] = True  # it passes a prompt without one on as it is

    def __post_init__(self) -> None:
        """Refuse a strength that the change does not have, and votes over copies that are all the same.

        Raises:
            ConfigError: out of range, or nothing to vote about.
        """
        least, most = STRENGTHS[self.how]
        if not least <= self.strength <= most:
            raise ConfigError(
                f"defense.{self.name}.strength={self.strength:g} is no strength of {self.how}",
                f"Give a number from {least:g} to {most:g}.",
            )
        if self.votes > 1 and self.how not in RANDOM:
            raise ConfigError(
                f"defense.{self.name}.votes={self.votes}: {self.how} makes the same picture each time",
                f"Set votes=1, or how={' or how='.join(RANDOM)}.",
            )

    def fingerprint(self) -> dict[str, object]:
        """The change and the number of votes."""
        return {"how": self.how, "strength": self.strength, "votes": self.votes}

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's answer about the changed picture, or what most answers about several have in common."""
        picture = prompt.image
        # Named as with a picture, so that the table of costs has one line for both.
        if picture is None:
            return await ask(prompt, "answer" if self.votes == 1 else "vote 1")
        changed = [replace(prompt, image=Transformed(picture, self.how, self.strength, n)) for n in range(self.votes)]
        if self.votes == 1:
            return await ask(changed[0], "answer")
        return await majority(await gather(*(ask(copy, f"vote {n}") for n, copy in enumerate(changed, 1))), ask)


async def majority(replies: Sequence[Response], ask: Ask) -> Response:
    """The first reply of the larger camp, refusals or answers; refusals win a tie. Read until one camp has won."""
    refusals, answers = list[Response](), list[Response]()
    for reply in replies:
        # An answer that cannot be read is no refusal: unclear votes must not make a defense look strict.
        camp = refusals if (await ask.reading(reply)).refusal else answers
        camp.append(reply)
        # A tie refuses: the safer error for a defense.
        if 2 * len(answers) > len(replies):
            break
        if 2 * len(refusals) >= len(replies):
            return refusals[0]
    return answers[0]


def _encode(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
