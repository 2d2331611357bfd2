"""Which budget a run pays from: one for all runs of its sweep, and for all tries of the same command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmsb.budget import FOLDER, Budget, Purse, check_prices
from mmsb.digest import digest
from mmsb.errors import ConfigError
from mmsb.model.base import Batched, Live, engines_in
from mmsb.prices import Prices
from mmsb.run import Run, measured
from mmsb.tracker.base import Sweep


def unpaid(settings: object) -> Set[str]:
    """The models in settings that nobody charges for: they run here, or behind a server of one's own."""
    engines = list(engines_in(settings))
    here = {one.name for one in engines if isinstance(one, Batched) or getattr(one, "serve", False)}
    return here - {one.name for one in engines if isinstance(one, Live) and not getattr(one, "serve", False)}


def prices_as_asked(prices: Prices | None, settings: object) -> Prices | None:
    """The table where the models in settings are asked as they are: through batch interfaces at the price of these."""
    ways = [(engine.name, bool(getattr(engine, "batch", False))) for engine in engines_in(settings)]
    # A model that is asked in both ways is priced in full, so that no plan and no bill is too low.
    batched = {name for name, batch in ways if batch} - {name for name, batch in ways if not batch}
    return prices and prices.through_batches(batched)


def identity(config: Mapping[str, Any]) -> str:
    """What a single run's command is known by, whatever it may spend; a sweep has its own."""
    # By what is measured: the same command with more money, or another tracker, is the same command.
    return digest(measured(config))


def purse_file(output_dir: Path, identity: str) -> Path:
    """Where stands what a command has spent."""
    return output_dir / FOLDER / f"{identity}.json"


def known_by(run: Run) -> str:
    """What a run's command is known by: its sweep's, where it is one of several."""
    sweep = Sweep.at(run.sweep) if run.sweep else None
    return sweep.identity if sweep else identity(run.config)


@contextmanager
def purse_of(budget: Budget, prices: Prices | None, free: Set[str], file: Path) -> Iterator[Purse | None]:
    """What pays for a command; None where nothing limits it, so that nothing is written with every call.

    Args:
        budget: its limits.
        prices: what tokens cost.
        free: models that nobody charges for.
        file: where stands what it has spent.
    """
    if not budget.limited:
        yield None
        return
    purse = Purse(budget, file, prices, free)
    try:
        yield purse
    finally:
        purse.close()


def check_budget(budget: Budget, prices: Prices | None, settings: object) -> None:
    """See that a budget can be kept with the models in settings.

    Raises:
        ConfigError: a model is asked in batches, or one that must be paid has no price.
    """
    engines = list(engines_in(settings))
    if budget.limited and any(getattr(engine, "batch", False) for engine in engines):
        # A batch is paid as a whole: nothing could stop in the middle of it.
        raise ConfigError(
            "a budget cannot be kept with batch=true", "Set the provider's own limit, or take one of them out."
        )
    check_prices(budget, prices, {engine.name for engine in engines} - unpaid(settings))
