"""Starting MLflow's UI on this machine, and finding the pages that show what was recorded."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import Field

from mmsb.config import settings
from mmsb.errors import ConfigError, TrackingError
from mmsb.serve import keeper
from mmsb.tracker.mlflow import MLflow
from mmsb.tracker.mlflow_store import FILE, QUIET, StorePlace
from mmsb.tracker.page import pair_page, runs_page

HOST = "127.0.0.1"
READY_WITHIN = 300.0  # seconds; it starts three processes that each import MLflow, on a busy machine slowly


@settings
class Serving:
    """Settings of the UI.

    Attributes:
        tracker: where runs are recorded.
        port: where the UI listens; None: a free port.
    """

    tracker: MLflow
    port: int | None = Field(default=None, gt=0, le=65535)
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    def serve(self) -> None:
        """Start the UI, print its pages, and wait until it is ended; a server's pages are only printed.

        Raises:
            ConfigError: nothing is recorded there, or the port is taken.
            TrackingError: the store cannot be read, or the UI does not start.
        """
        place = self.tracker.place
        if not place.given and not (place.output_dir / FILE).is_file():
            raise ConfigError(
                f"nothing is recorded in {place.output_dir} yet", "Run something first: python -m mmsb experiment=demo"
            )
        pages = self.pages()
        if place.is_server:
            show(place.shown.rstrip("/"), pages)
            return
        port = self.port or free_port()
        if taken(port):
            raise ConfigError(f"port={port} is taken", "Choose another, or leave port out: a free one is taken.")
        with serving(place, port) as process:
            show(f"http://{HOST}:{port}", pages)
            print("Ctrl-C ends it.", flush=True)
            with suppress(KeyboardInterrupt):  # the way to end it: no word about answers
                process.wait()

    def pages(self) -> list[tuple[str, str]]:
        """What each page shows, and its address after the server's."""
        with self.tracker.opened("Record again: python -m mmsb.log run=FOLDER") as records:
            pages = [("runs", runs_page(records.experiment))]
            if pair := pair_page(records):
                pages.append((f"question by question, {pair[1]}", pair[0]))
            return pages


def show(server: str, pages: list[tuple[str, str]]) -> None:
    """Print the pages."""
    for title, page in pages:
        print(f"{title}:\n  {server}/{page}", flush=True)


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


def taken(port: int) -> bool:
    """Whether somebody listens at a port."""
    with socket.socket() as one:
        return one.connect_ex((HOST, port)) == 0


@contextmanager
def serving(place: StorePlace, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server for a store, ready; it ends with the block.

    Raises:
        TrackingError: it ended, or is not ready in time.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", place.uri]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]
    if place.artifacts:
        command += ["--artifacts-destination", place.artifacts]
    # Held by the keeper, which ends it and its workers however this process ends, be it by a SIGKILL.
    held = [sys.executable, str(keeper.__file__), os.devnull, *command]
    process = subprocess.Popen(held, stdin=subprocess.PIPE, env={**os.environ, **QUIET}, start_new_session=True)
    assert process.stdin is not None
    try:
        _wait(process, port)
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(keeper.GRACE + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + READY_WITHIN
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.3)
    raise TrackingError("MLflow's UI did not start", f"See why: {sys.executable} -m mlflow server --port {port}")
