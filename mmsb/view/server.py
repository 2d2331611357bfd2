"""Serves progress and pages of an output folder to this machine, and to no other."""

from __future__ import annotations

import json
import re
import tempfile
import webbrowser
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

import pydantic

from mmsb.config import settings
from mmsb.errors import ConfigError, DataError, MmsbError
from mmsb.paths import PACKAGE
from mmsb.report import page
from mmsb.report.columns import named
from mmsb.report.finished import Finished
from mmsb.report.progress import Going, run_folders

LOOPBACK = "127.0.0.1"
MOST = 40  # runs that the list shows
PLACE = r"(?P<place>(?:sweeps|runs)/[^/]+)"
PAGE = re.compile(rf"/{PLACE}/(?P<what>page\.html|status|data/\d{{5}}\.js|pictures/[0-9a-f]+\.webp)")
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".webp": "image/webp"}


@settings
class View:
    """Settings of the view: the port on the loopback address (0: any free one), and whether to open a browser."""

    port: int = pydantic.Field(default=8417, ge=0, le=65535)
    open: bool = True
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    def serve(self) -> None:
        """Serve until interrupted.

        Raises:
            ConfigError: the port is taken.
        """
        with tempfile.TemporaryDirectory() as folder, self.server(Path(folder)) as server:
            address = f"http://{LOOPBACK}:{server.server_port}/"
            print(f"look at it: {address}   (Ctrl-C ends it; runs go on)", flush=True)
            if self.open:
                with suppress(webbrowser.Error):
                    webbrowser.open(address)
            with suppress(KeyboardInterrupt):
                server.serve_forever()

    def server(self, folder: Path) -> Server:
        """The server, bound to its port; pages are made in `folder`."""
        try:
            return Server(self.port, self.output_dir, folder)
        except OSError as error:
            raise ConfigError(
                f"port={self.port} cannot be used: {error.strerror}", "Add port=0 for any free port."
            ) from error


class Server(ThreadingHTTPServer):
    """Keeps what it knows of each run between requests."""

    daemon_threads = True

    def __init__(self, port: int, output_dir: Path, folder: Path) -> None:
        """Bind to the loopback address."""
        super().__init__((LOOPBACK, port), Handler)
        self.output_dir, self.folder = output_dir, folder
        self._going: dict[Path, Going] = {}
        self._made: dict[str, object] = {}
        self._lock = Lock()

    def status(self, place: str | None = None) -> dict[str, Any]:
        """How far the runs are: of one page, or the newest of all."""
        with self._lock:
            found = run_folders(self.output_dir)
            chosen = [(name, f) for name, members in found.items() for f in members if place in (None, name)]
            followed = [(name, self._follow(folder)) for name, folder in chosen[: None if place else MOST]]
            unreadable: list[str] = []
            opened = [(name, going, run) for name, going in followed if (run := _opened(going, unreadable))]
            labels = [column.label for column in named([run for *_, run in opened])] if opened else []
            shown = [(name, going) for name, going, _ in opened]
            runs = [
                {"name": name, "label": label, "page": f"{name}/page.html", **going.look()}
                for (name, going), label in zip(shown, labels, strict=True)
            ]
        return {"runs": runs, "older": len(chosen) - len(followed), "unreadable": unreadable}

    def page(self, place: str) -> Path | None:
        """The page of a sweep or run, made again if there is more to show; None if there is no such run."""
        with self._lock:  # two browsers must not write one page at a time
            members = run_folders(self.output_dir).get(place)
            if members is None:
                return None
            going = [self._follow(folder) for folder in members]
            state = [(one.look()["done"], one.finished) for one in going]
            folder = self.folder / place
            # By what there is to show, not by time: an open page asks every few seconds.
            if self._made.get(place) != state:
                page.write_page([one.run for one in going], folder, form="folder", live=True)
                self._made[place] = state
            return folder

    def made(self, place: str) -> Path | None:
        """The folder of a page that was made before."""
        return self.folder / place if place in self._made else None

    def _follow(self, folder: Path) -> Going:
        return self._going.setdefault(folder, Going(folder))


def _opened(going: Going, unreadable: list[str]) -> Finished | None:
    """The run; None where its files were changed or are none of a run's, and why is added."""
    try:
        return going.run
    except DataError as error:
        unreadable.append(error.problem)
        return None


class Handler(BaseHTTPRequestHandler):
    """Answers GET for known addresses; everything else is not found."""

    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        allowed = {f"{host}:{self.server.server_port}" for host in (LOOPBACK, "localhost")}
        if self.headers.get("Host") not in allowed:  # a page elsewhere that points its own name here
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        try:
            self._answer(self.path.partition("?")[0])
        except (MmsbError, FileNotFoundError) as error:  # a run that ends this moment takes its live rows with it
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", str(error).encode())

    def _answer(self, path: str) -> None:
        match = PAGE.fullmatch(path)
        if path == "/":
            self._send(HTTPStatus.OK, TYPES[".html"], _index(self.server.output_dir).encode())
        elif path == "/favicon.ico":
            self._send(HTTPStatus.OK, "image/x-icon", b"")
        elif path == "/status":
            self._send_status(None)
        elif match and match["what"] == "status":
            self._send_status(match["place"])
        elif match:
            self._send_file(match["place"], match["what"])
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send_status(self, place: str | None) -> None:
        self._send(HTTPStatus.OK, "application/json", json.dumps(self.server.status(place)).encode())

    def _send_file(self, place: str, what: str) -> None:
        folder = self.server.page(place) if what == page.FILE else self.server.made(place)
        path = folder / what if folder else None
        if path is None or not path.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self._send(HTTPStatus.OK, TYPES[path.suffix], path.read_bytes())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        safety = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}
        for name, value in (headers | safety).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is for errors."""


def _index(folder: Path) -> str:
    own = page.own_parts(("progress.js",))
    return str(page.template(PACKAGE / "view", "index.html").render(folder=folder, **own))
