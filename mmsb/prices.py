"""What models and pictures cost: a dated table that the user can replace (conf/prices/)."""

from __future__ import annotations

from datetime import date

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


def money(dollars: float) -> str:
    """For a table: "$0.42"; what is less than a cent says so."""
    return "< $0.01" if 0 < dollars < 0.01 else f"${dollars:,.2f}"


def duration(seconds: float) -> str:
    """For a table: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
