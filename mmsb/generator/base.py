"""What an image generator is: it draws a picture for each order, in any order, as they are finished.

There are two kinds, as of models: a `Batched` one draws in this process, several at once; a `Live` one is an endpoint.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from PIL import Image

from mmsb.digest import digest
from mmsb.types import Failure

if TYPE_CHECKING:
    from mmsb.model.endpoints import Endpoints

MAX_SEED = 2**31  # endpoints take no larger ones


@dataclass(frozen=True, slots=True)
class Order:
    """A picture to draw: the sample's name ("01-Illegal_Activitiy/3"), what to draw, and the seed for it.

    `phrase` is the key phrase that the prompt shows; "" where a person chose to show something else.
    """

    name: str
    prompt: str
    seed: int
    phrase: str = ""


Drawn = tuple[Order, Image.Image | Failure]
Batch = tuple[Order, ...]


# The protocols are all that `create` knows of a generator: one in a package of the user's own needs no base class.
@runtime_checkable
class Generator(Protocol):
    """A configured image generator: light to build; what is heavy is opened with the first order."""

    @property
    def prompt(self) -> str:
        """The wording, with {phrase} where the key phrase goes."""
        ...

    @property
    def seed(self) -> int:
        """The seed that every picture's own is made from."""
        ...

    def fingerprint(self) -> Mapping[str, object]:
        """Everything that determines the pictures but prompt and seed, as JSON values; no secrets."""
        ...

    def batches(self, orders: Sequence[Order]) -> list[Batch]:
        """Cut all orders of a dataset into what is drawn together."""
        ...


@runtime_checkable
class Batched(Generator, Protocol):
    """A generator in this process."""

    def draw(self, batches: Iterable[Batch]) -> Iterator[Drawn]:
        """Draw each order of each batch; a Failure says why there is no picture.

        Raises:
            ModelError: the generator cannot be loaded.
        """
        ...


@runtime_checkable
class Live(Generator, Protocol):
    """A generator that draws order by order: an endpoint."""

    @property
    def concurrency(self) -> int:
        """Orders at a time."""
        ...

    def session(
        self, endpoints: Endpoints
    ) -> AbstractAsyncContextManager[Callable[[Order], Awaitable[Image.Image | Failure]]]:
        """What draws while it is open; `endpoints` has the clients and limits that all who ask there share.

        Raises:
            ModelError: from a call: no order could be drawn there.
        """
        ...


def order(generator: Generator, scenario: str, key: str, phrase: str) -> Order:
    """The order for a question's picture. Its seed follows from phrase and id, so not from its batch or place."""
    # With the phrase: an edited one gets another picture, and with the id, since 08 repeats its questions.
    seed = int(digest([generator.seed, scenario, key, phrase])[:15], 16) % MAX_SEED
    # `replace`, not `format`: a phrase with braces is drawn as it is.
    return Order(f"{scenario}/{key}", generator.prompt.replace("{phrase}", phrase), seed, phrase)
