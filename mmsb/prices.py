"""What models and pictures cost: a dated table that the user can replace (conf/prices/)."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat

from mmsb.config import settings
from mmsb.errors import ConfigError

WANTED = "Give a model_prices_and_context_window.json of litellm, or leave prices.file out."
PER_TOKEN = ("input_cost_per_token", "output_cost_per_token")
Amount = Annotated[float, Field(ge=0, strict=True)]  # else true would be a price of 1


@settings
class TokenPrice:
    """US dollars for a million tokens, and what a call takes in seconds."""

    input: Amount
    output: Amount
    seconds: Amount | None = None


@settings
class PicturePrice:
    """US dollars for a picture, None where nothing is paid a picture, and seconds for one."""

    each: Amount | None = None
    seconds: Amount | None = None


@settings
class Prices:
    """Prices and times by model.

    Attributes:
        date: when they were read; None: when `file` was last changed.
        source: where.
        llm: by the model's name at its endpoint.
        pictures: by the generator's name at its endpoint, or its hub id.
        batch: what a token costs through a batch interface, as a share.
        file: a `model_prices_and_context_window.json` of litellm, for models that `llm` does not name.
    """

    source: str
    llm: dict[str, TokenPrice]
    pictures: dict[str, PicturePrice]
    date: datetime.date | None = None
    batch: NonNegativeFloat = 1.0
    file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse a file that is none of prices.

        Raises:
            ConfigError: it cannot be read; or nobody says when the prices were read.
        """
        if self.file is not None:
            of_litellm(self.file)
        elif self.date is None:
            raise ConfigError("prices.date is missing", "Say when the prices were read: prices.date=2026-01-31.")

    @property
    def read(self) -> datetime.date | None:
        """When the prices were read."""
        if self.date or self.file is None:
            return self.date
        return datetime.datetime.fromtimestamp(self.file.stat().st_mtime, datetime.UTC).date()

    def months(self, today: datetime.date) -> int:
        """How many months ago the prices were read."""
        return (today - self.read).days // 30 if self.read else 0

    def price(self, model: str) -> TokenPrice | None:
        """A model's price; None where it is not in the table, nor in the file."""
        # What a person typed goes before what a file says.
        return self.llm.get(model) or (listed(model, of_litellm(self.file)) if self.file else None)

    def through_batches(self, models: Set[str]) -> Prices:
        """The table where these models are asked through batch interfaces."""
        # Batches are priced here once, so that no sum needs to know how a model was asked.
        reduced = {
            name: replace(price, input=self.batch * price.input, output=self.batch * price.output)
            for name in models
            if (price := self.price(name))
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
        price = self.price(model)
        # A zero would be summed up as free, and is where the tokens cost nothing, whoever counts them.
        if price is not None and not (price.input or price.output):
            return 0.0, 0.0
        if price is None or given is None or came is None:
            return None
        return given * price.input / 1e6, came * price.output / 1e6


@cache
def of_litellm(file: Path) -> Mapping[str, TokenPrice]:
    """The prices in a file of litellm's: dollars a token there, for a million here.

    Raises:
        ConfigError: it cannot be read, or has no prices.
    """
    try:
        entries = json.loads(file.expanduser().read_text(encoding="utf-8"))
        # Both: of a model that is paid for in another way too, its tokens alone would look like all of it.
        priced = {name: [entry.get(key) for key in PER_TOKEN] for name, entry in entries.items()}
        found = {name: _entry(file, name, costs) for name, costs in priced.items() if None not in costs}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not litellm's JSON of prices"
        raise ConfigError(f"prices.file={file}: {problem}", WANTED) from error
    if not found:
        raise ConfigError(f"prices.file={file} has no model with {' and '.join(PER_TOKEN)}", WANTED)
    return found


def _entry(file: Path, name: str, costs: Sequence[Any]) -> TokenPrice:
    try:
        given, came = (1e6 * float(cost) for cost in costs)
        return TokenPrice(input=given, output=came)
    except (ValueError, TypeError) as error:
        told = ", ".join(f"{key}={cost!r}" for key, cost in zip(PER_TOKEN, costs, strict=True))
        raise ConfigError(
            f"prices.file={file}: {told} of {name} are no prices", "Correct or remove that entry."
        ) from error


def listed(model: str, prices: Mapping[str, TokenPrice]) -> TokenPrice | None:
    """A model's price by its name, or, where all that add a provider in front of it cost the same, by that."""
    if model in prices:
        return prices[model]
    # Providers charge differently for the same model, and its name at an endpoint does not tell which one that is.
    found = {(price.input, price.output) for name, price in prices.items() if name.endswith(f"/{model}")}
    return TokenPrice(**dict(zip(("input", "output"), found.pop(), strict=True))) if len(found) == 1 else None


def recorded_prices(config: Mapping[str, Any]) -> Prices | None:
    """The prices that a run's resolved configuration names; None where it names none, or they are gone by now."""
    values = config.get("prices")
    if not values:
        return None
    try:
        prices = Prices(**{key: value for key, value in values.items() if key != "_target_"})
    except ConfigError:  # a file that was there when the run was made
        return None
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
