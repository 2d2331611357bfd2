"""Progress of long steps: how far, how fast, how long still, what failed. One line that fits whatever looks at it.

On a terminal the line redraws itself; elsewhere (a log file, a cluster's job) a plain line comes every minute.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import TypeVar

T = TypeVar("T")
EVERY = 60.0  # seconds between two plain lines
WINDOW = 30.0  # seconds that the rate is over: what was in the store already comes faster than what is asked
SHORTEST = 12  # letters of a label that still tell it from others


@dataclass
class Progress:
    """How far a step is.

    Attributes:
        label: what it is, short.
        total: how many items there will be; None: nobody knows.
        place: "[3/12]" in a sweep, else empty.
        more: what else is known by now, the most telling first: ("2 failed", "ASR 41.0 %").
    """

    label: str
    total: int | None
    place: str = ""
    more: Callable[[], Iterable[str]] = tuple
    done: int = 0
    _times: list[tuple[float, int]] = field(default_factory=list)

    def advance(self, now: float) -> None:
        """Count an item that is finished at `now`, a time in seconds."""
        self.done += 1
        if not self._times or now - self._times[-1][0] >= WINDOW / 30:
            self._times.append((now, self.done))
        while len(self._times) > 2 and now - self._times[1][0] > WINDOW:
            del self._times[0]

    def rate(self, now: float) -> float | None:
        """Items a second, lately."""
        if not self._times:
            return None
        since, before = self._times[0]
        return (self.done - before) / (now - since) if now - since > 1 else None

    def line(self, width: int, now: float) -> str:
        """All of it in at most `width` letters: the label gets shorter, then the least telling parts go."""
        parts = self._parts(now)
        while len(parts) > 1 and _length([self.place, self.label[:SHORTEST], *parts]) > width:
            parts.pop()
        room = width - _length([self.place, *parts]) - 1
        label = self.label if len(self.label) <= room else self.label[: max(room - 1, 0)] + "…"
        return " ".join(filter(None, [self.place, label, "  ".join(parts)]))[:width]

    def _parts(self, now: float) -> list[str]:
        rate = self.rate(now)
        counted = f"{self.done:,}/{self.total:,}" if self.total is not None else f"{self.done:,}"
        left = [_clock((self.total - self.done) / rate) + " left"] if rate and self.total else []
        share = [f"{100 * self.done // self.total} %"] if self.total else []
        # The share comes last: it says nothing that the count does not, and it is the first to go on a narrow terminal.
        return [counted, *left, *self.more(), *([f"{rate:.1f}/s"] if rate else []), *share]


def track(
    items: Iterable[T],
    label: str,
    total: int | None,
    place: str = "",
    more: Callable[[], Iterable[str]] = tuple,
) -> Iterator[T]:
    """Pass items on, and show on stderr how far they are; see `Progress` for the arguments."""
    progress = Progress(label, total, place, more)
    # A log that is redrawn holds thousands of copies of one line, and on a terminal that cannot it is never shown.
    redraws = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    yield from (_redrawn if redraws else _in_lines)(items, progress)


def _in_lines(items: Iterable[T], progress: Progress) -> Iterator[T]:
    over = threading.Event()

    def tell() -> None:
        while not over.wait(EVERY):
            print(progress.line(200, time.monotonic()), file=sys.stderr, flush=True)

    # Not as items come: where a server hangs there is none for minutes, which looks as if nothing went on.
    threading.Thread(target=tell, name="progress", daemon=True).start()
    try:
        for item in items:
            yield item
            progress.advance(time.monotonic())
    finally:
        over.set()


def _redrawn(items: Iterable[T], progress: Progress) -> Iterator[T]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)

    def line() -> Text:
        # One letter less than the terminal has: some wrap a line that fills it.
        text = progress.line(max(console.width - 1, 1), time.monotonic())
        return Text(text, no_wrap=True, overflow="crop")

    with Live(get_renderable=line, console=console, transient=True, refresh_per_second=4):
        for item in items:
            yield item
            progress.advance(time.monotonic())


def _length(parts: Iterable[str]) -> int:
    return sum(len(part) + 2 for part in parts if part) - 2


def _clock(seconds: float) -> str:
    """1:43, or 2:05:00 from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def hush_loading_bars(package: str = "transformers") -> None:
    """Keep the own bars of transformers, or of diffusers, off where nobody watches."""
    if not sys.stderr.isatty():
        import_module(f"{package}.utils.logging").disable_progress_bar()
