"""Works that run at once, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable


def together(*works: Callable[[], None]) -> None:
    """Start all, and wait until each has ended."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
