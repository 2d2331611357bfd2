"""Ctrl-C: once, a command ends cleanly; twice, it ends now, whatever it is at. SIGTERM is as one Ctrl-C.

The first is Python's own: an exception in the main thread, which lets go of files, servers and records on its way out.
That way can be long, where a library waits for what never comes. So a thread listens for the second one, through a pipe
that the system's signal handler writes to even while the main thread is deep inside somebody's C code.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

CODE = 130  # of a command that was interrupted
A_MOMENT = 1.0  # seconds that a clean end takes at most; where it takes longer, that is said
AGAIN = b"\nending; Ctrl-C again ends at once (what was answered is stored)\n"
NOW = b"\nEnded at once. What was answered is stored; the same command goes on from here.\n"
THE_END, LOST = b"\0", b"\xff"  # no signals have these numbers
REPEATED = 0.02  # seconds after which an interruption that was lost comes again


@contextmanager
def twice_ends_now() -> Iterator[Listener | None]:
    """Have a second Ctrl-C end this process; of no effect in any thread but the main one, which alone gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    listener = Listener(*os.pipe())
    os.set_blocking(listener.writing, False)
    before = signal.set_wakeup_fd(listener.writing, warn_on_full_buffer=False)
    ignored, sys.unraisablehook = sys.unraisablehook, listener.ignored
    listener.start()
    try:
        yield listener
    finally:
        if not listener.count:  # else it listens on: the end of an interrupted process may hang too
            sys.unraisablehook = ignored
            signal.set_wakeup_fd(before)
            listener.stop()


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM end this process as Ctrl-C does, with its servers and files; of no effect but in the main thread."""
    # Where somebody acts on it already (a launcher that requeues), it is theirs.
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Listener(threading.Thread):
    """Waits for two interruptions.

    Attributes:
        reading: the end of a pipe that numbers of signals come from.
        writing: its other end.
        count: interruptions so far; SIGTERM is one, however often it comes (`timeout` sends it twice).
    """

    def __init__(self, reading: int, writing: int) -> None:
        """Nothing has come yet."""
        super().__init__(name="mmsb-interrupts", daemon=True)
        self.reading = reading
        self.writing = writing
        self.count = 0
        self._terminated = False
        self._own = 0  # on their way, sent by this thread
        self._told_before = sys.unraisablehook

    def ignored(self, found: sys.UnraisableHookArgs) -> None:
        """Be told of an error that Python ignores. An interruption comes again, or the command would go on to its end.

        Python ignores what is raised in the middle of a destructor or of a callback from C. A library that keeps many
        objects spends much of its time there.
        """
        if found.exc_type is KeyboardInterrupt:
            os.write(self.writing, LOST)
        else:
            self._told_before(found)

    def stop(self) -> None:
        """Listen no more."""
        os.write(self.writing, THE_END)
        self.join()
        os.close(self.reading)
        os.close(self.writing)

    def run(self) -> None:
        """Until the second one, or the end."""
        told = False
        while True:
            patience = A_MOMENT if self.count and not told else None
            if not select.select([self.reading], [], [], patience)[0]:
                told = True
                os.write(2, AGAIN)
                continue
            for number in os.read(self.reading, 64):
                if number == THE_END[0]:
                    return
                if number == LOST[0]:
                    self._repeat()
                elif number == signal.SIGINT and self._own:
                    self._own -= 1
                elif number == signal.SIGINT:
                    self.count += 1
                # Where it is somebody else's, it interrupts nothing.
                elif number == signal.SIGTERM and signal.getsignal(number) is signal.default_int_handler:
                    self.count += not self._terminated
                    self._terminated = True
            if self.count >= 2:
                os.write(2, NOW)
                # Not sys.exit: it would end this thread alone, and atexit waits for what the main thread waits for.
                os._exit(CODE)

    def _repeat(self) -> None:
        time.sleep(REPEATED)  # at once it would meet the same destructor
        self._own += 1
        # To the main thread, which may be waiting. SIGTERM may be somebody else's, and means another thing there.
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
