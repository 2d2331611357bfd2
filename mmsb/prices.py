"""What models and pictures cost: a dated table that the user can replace (conf/prices/)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from datetime import date
from typing import Any

from pydantic import NonNegativeFloat

from mmsb.config import settings


@settings
class TokenPrice:
    """US dollars for a million tokens, and what a call takes in seconds."""

    input: NonNegativeFloat
    output: NonNegativeFloat
    seconds: NonNegativeFloat | None = None


@settings
class PicturePrice:
    """US dollars for a picture, None where nothing is paid a picture, and seconds for one."""

    each: NonNegativeFloat | None = None
    seconds: NonNegativeFloat | None = None


@settings
class Prices:
    """Prices and times by model.

    Attributes:
        date: when they were read.
        source: where.
        llm: by the model's name at its endpoint.
        pictures: by the generator's name at its endpoint, or its hub id.
        batch: what a token costs through a batch interface, as a share.
    """

    date: date
    source: str
    llm: dict[str, TokenPrice]
    pictures: dict[str, PicturePrice]
    batch: NonNegativeFloat = 1.0

    def through_batches(self, models: Set[str]) -> Prices:
        """The table where these models are asked through batch interfaces."""
        reduced = {
            name: replace(price, input=self.batch * price.input, output=self.batch * price.output)
            for name, price in self.llm.items()
            if name in models
        }
        return replace(self, llm=self.llm | reduced)

    def dollars(self, model: str, given: int | None, came: int | None) -> tuple[float, float] | None:
        """What tokens cost, in US dollars: those given to a model, and those that came from it.

        Args:
            model: its name at its endpoint.
            given: input tokens; None where nobody counted them.
            came: output tokens; likewise.

        Returns:
            None where the table does not know the model or nobody counted: not known is not free.
        """
        price = self.llm.get(model)
        if price is None or given is None or came is None:
            return None
        return given * price.input / 1e6, came * price.output / 1e6


def recorded_prices(config: Mapping[str, Any]) -> Prices | None:
    """The prices that a run's resolved configuration names; None where it names none."""
    values = config.get("prices")
    if not values:
        return None
    prices = Prices(**{key: value for key, value in values.items() if key != "_target_"})
    return prices.through_batches(batched(config))


def batched(config: object) -> Set[str]:
    """The models in a resolved configuration that are asked through batch interfaces and in no other way."""
    ways = list(_ways(config))
    return {name for name, batch in ways if batch} - {name for name, batch in ways if not batch}


def _ways(config: object) -> Iterator[tuple[str, bool]]:
    if isinstance(config, Mapping):
        if "batch" in config and isinstance(config.get("name"), str):
            yield config["name"], bool(config["batch"])
        for value in config.values():
            yield from _ways(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _ways(value)


def money(dollars: float) -> str:
    """For a table: "$0.42"; what is less than a cent says so."""
    return "< $0.01" if 0 < dollars < 0.01 else f"${dollars:,.2f}"


def duration(seconds: float) -> str:
    """For a table: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
