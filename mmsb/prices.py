"""What models and pictures cost: a dated table that the user can replace (conf/prices/)."""

from __future__ import annotations

from collections.abc import Mapping
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
    """

    date: date
    source: str
    llm: dict[str, TokenPrice]
    pictures: dict[str, PicturePrice]

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
    return Prices(**{key: value for key, value in values.items() if key != "_target_"})


def money(dollars: float) -> str:
    """For a table: "$0.42"; what is less than a cent says so."""
    return "< $0.01" if 0 < dollars < 0.01 else f"${dollars:,.2f}"


def duration(seconds: float) -> str:
    """For a table: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
