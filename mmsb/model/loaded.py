"""The models in memory, shared by all settings that load the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from mmsb.model.device import release_memory
from mmsb.progress import hush_loading_bars

KEPT_LOADED = 2  # a target and a judge; more would not fit on most GPUs


class Loaded:
    """The models in memory, the longest unused given up first. A sweep in one process loads each once."""

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self._models: OrderedDict[str, Any] = OrderedDict()

    def get(self, key: str, load: Callable[[], Any]) -> Any:
        """The model under `key`, loaded now if it is not in memory."""
        if key not in self._models:
            # Before the new one is loaded: three at a time would not fit where two just do.
            while len(self._models) >= KEPT_LOADED:
                self._models.popitem(last=False)
                release_memory()
            hush_loading_bars()
            self._models[key] = load()
        self._models.move_to_end(key)
        return self._models[key]


LOADED = Loaded()
