"""The servers of this process: started when they are first asked, kept for the runs that follow, stopped at its end."""

from __future__ import annotations

import asyncio
import atexit
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mmsb.console import say
from mmsb.digest import digest
from mmsb.errors import ModelError
from mmsb.gpus import VISIBLE, visible_gpus
from mmsb.processes import ends_quickly
from mmsb.serve import keeper
from mmsb.serve.log_errors import explained, last_line
from mmsb.serve.settings import HOST, Server

if TYPE_CHECKING:
    import httpx2

LOOK = 0.3  # seconds between two looks at a server that starts
NEWS = 15.0  # seconds after which a person hears of it
STOPPED_WITHIN = keeper.GRACE + 5
A_MOMENT = 0.5  # seconds that an interrupted command waits for a server's end
A_WHILE = 2.0  # seconds after which whoever waits for it is told


class Running:
    """One server."""

    def __init__(self, server: Server, name: str) -> None:
        """Nothing is started; its port is known."""
        self.server = server
        self.name = name
        self.users = 0
        self.log = Path()
        self.failed: ModelError | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._was_ready = False
        with socket.socket() as free:
            # The system gives a port that is free; between here and the server's start another program may take it,
            # which is told.
            free.bind((HOST, 0))
            self.port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://{HOST}:{self.port}/v1"

    def dead(self) -> ModelError | None:
        """Why it does not run any more; None while it does, or has not been started."""
        if self._keeper is not None and self._keeper.poll() is not None:
            # Where the keeper itself is killed, which no code of its own says, the server is by the same signal.
            code = self._keeper.returncode
            self.failed = self._error(code if code >= 0 else keeper.KILLED - code)
        return self.failed

    async def start(self) -> None:
        """Start it, unless it runs, and wait until it is ready.

        Raises:
            ModelError: it did not start; says why, as far as its log tells.
            ConfigError: it needs more GPUs than there are.
        """
        if error := self.dead():
            if not self._was_ready:
                raise error  # it would not start now either
            self.stop()  # it died under a run before this one
            self.failed = None
        if self._keeper is not None:
            return
        for other in _running.values():  # what no run uses holds memory that this one needs
            if other is not self and not other.users:
                other.stop()
        self._begin()
        try:
            await self._ready()
        except BaseException as error:
            # What is no Exception is an interruption, of which nobody waits for the end.
            self.stop(STOPPED_WITHIN if isinstance(error, Exception) else A_MOMENT)
            self.failed = error if isinstance(error, ModelError) else None
            raise
        self._was_ready = True

    def stop(self, within: float = STOPPED_WITHIN) -> None:
        """Stop it, and wait for its end `within` so many seconds: its keeper sees to that in any case."""
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            # The pipe's end is the signal: the same way that a killed command ends its server.
            self._keeper.stdin.close()
            try:
                self._keeper.wait(min(within, A_WHILE))
            except subprocess.TimeoutExpired:
                say(f"serve: {self._program} is told to end, and is ended within {keeper.GRACE:g} s")
                with suppress(subprocess.TimeoutExpired):
                    self._keeper.wait(max(0, within - A_WHILE))
            self._keeper = None

    def _begin(self) -> None:
        # Before any folder is made: a command line that cannot be leaves nothing behind.
        argv = self.server.argv(self.name, self.port, len(visible_gpus()))
        folder = self.server.logs.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{self.port}.log"
        say(f"serve: {shlex.join(argv)}\nserve: its log: {self.log}")
        with self.log.open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, str(keeper.__file__), str(self.log), *argv],
                stdin=subprocess.PIPE,
                # Not ours: whoever reads what we print (`| tee`) would wait for the end of what outlives us.
                stdout=log,
                stderr=log,
                env={**os.environ, **self.server.variables(self.name, self.port)},
                start_new_session=True,  # an interruption at the keyboard is ours to act on
            )

    async def _ready(self) -> None:
        import httpx2

        started = told = time.monotonic()
        # Past every proxy: to one, 127.0.0.1 is another machine.
        async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
            while not await self._healthy(client):
                now = time.monotonic()
                if error := self.dead():
                    raise error
                if now - started > self.server.within:
                    raise ModelError(
                        f"{self._program} is not ready after {self.server.within:g} s; it says: {last_line(self.log)}",
                        f"Read {self.log}; server.within=SECONDS gives it longer.",
                    )
                if now - told > NEWS:
                    say(f"serve: not ready after {now - started:.0f} s: {last_line(self.log) or 'its log is empty'}")
                    told = now
                await asyncio.sleep(LOOK)
        say(f"serve: ready after {time.monotonic() - started:.0f} s at {self.url}")

    async def _healthy(self, client: httpx2.AsyncClient) -> bool:
        import httpx2

        try:
            return (await client.get(f"http://{HOST}:{self.port}{self.server.health}")).status_code == 200
        except httpx2.HTTPError:
            return False

    def _error(self, code: int) -> ModelError:
        if code == keeper.MISSING:
            return self.server.absent(self.name)
        line, remedy = explained(self.log)
        if code == keeper.KILLED + signal.SIGKILL and not remedy:
            remedy = "Somebody killed it, or the system for want of memory (`dmesg` tells)."
        if self._was_ready:
            remedy = f"{remedy} What was answered is stored: the same command starts it again, and goes on.".strip()
        how = f"was killed ({_signal(code)})" if code > keeper.KILLED else f"ended by itself (exit code {code})"
        return ModelError(f"{self._program} {how}: {line}", f"{remedy} See its log: {self.log}".strip())

    @property
    def _program(self) -> str:
        return self.server.start_command(self.name)


def _signal(code: int) -> str:
    try:
        return signal.Signals(code - keeper.KILLED).name
    except ValueError:  # a program's own exit code may be as high
        return f"exit code {code}"


_running: dict[str, Running] = {}


def running(server: Server, name: str) -> Running:
    """The server of this process for a model; not necessarily started. One for each command line and set of GPUs."""
    # The GPUs too: runs of a sweep side by side each have their own, and one server would take the other's.
    key = digest([str(server), name, os.environ.get(VISIBLE)])
    if key not in _running:
        _running[key] = Running(server, name)
    return _running[key]


@asynccontextmanager
async def serving(server: Server, name: str) -> AsyncIterator[None]:
    """Have it run; it goes on afterwards, for the next run of a sweep.

    Raises:
        ModelError: it does not start.
    """
    found = running(server, name)
    await found.start()
    found.users += 1
    try:
        yield
    finally:
        found.users -= 1


@atexit.register
def stop_all() -> None:
    """Stop them all."""
    # All was said and written by now: who interrupts only waits no longer. Keepers see to the end.
    with suppress(KeyboardInterrupt):
        for found in _running.values():
            # Who interrupts a command waits for no server: one that answers ends only after its last answer.
            found.stop(A_MOMENT if ends_quickly() else STOPPED_WITHIN)
    _running.clear()
