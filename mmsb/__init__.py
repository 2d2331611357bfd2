"""Measure how safe multimodal LLMs are when the harmful part of a request moves into an image."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmsb.api import evaluate, open_runs, rates, samples
    from mmsb.config import settings
    from mmsb.errors import ConfigError, DataError, MmsbError, ModelError
    from mmsb.types import Failure, Prompt, Question, Response, Verdict

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "DataError",
    "Failure",
    "MmsbError",
    "ModelError",
    "Prompt",
    "Question",
    "Response",
    "Verdict",
    "__version__",
    "evaluate",
    "open_runs",
    "rates",
    "samples",
    "settings",
]


def __getattr__(name: str) -> object:
    """What evaluates from Python, and what components of your own need; importing the package loads nothing."""
    # `mmsb.api` last: it brings Hydra, which a component of one's own that only imports `mmsb.Prompt` need not load.
    for module in ("mmsb.config", "mmsb.errors", "mmsb.types", "mmsb.api") if name in __all__ else ():
        found = vars(import_module(module)).get(name)
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
