"""A small hub on loopback: the files of two commits of a dataset, and a branch that moves from one to the other."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from tests.forks import Fork

PREFIX = "/datasets/PKU-Alignment/MM-SafetyBench/resolve/"


class HubHandler(BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks to download a file; `main` moves on when a file was downloaded from it."""

    commits: ClassVar[Mapping[str, Path]] = {}
    main: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        revision, _, name = self.path.removeprefix(PREFIX).partition("/")
        commit = self.main[0] if revision == "main" else revision
        file = self.commits[commit] / name if commit in self.commits else None
        if file is None or not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "RevisionNotFound" if file is None else "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = file.read_bytes()
        self.send_response(200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data)
            if revision == "main":
                self.main[:] = self.main[-1:]

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@contextmanager
def small_hub(first: Path, second: Path) -> Iterator[tuple[str, str]]:
    """Serve two folders as the commits that `main` names at first and ever after.

    Returns:
        The hub's URL, and the first commit.
    """
    names = "a" * 40, "b" * 40
    HubHandler.commits = dict(zip(names, (first, second), strict=True))
    HubHandler.main = list(names)
    with ThreadingHTTPServer(("127.0.0.1", 0), HubHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", names[0]
        finally:
            server.shutdown()
            thread.join()


# The hub's library reads its address and its cache when it is imported, so each command has it imported anew.
AT_THE_HUB = """
import json, os, sys
from pathlib import Path
from tests.conftest import run_in

for module, arguments, env in json.loads(sys.argv[1]):
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        del sys.modules[name]
    os.environ.update(env)
    done = run_in(Path.cwd(), *arguments, module=module)
    print(json.dumps([done.returncode, done.stderr]))
"""


def at_the_hub(folder: Path, *commands: tuple[str, ...], **env: str) -> list[tuple[int, str]]:
    """Run commands (module, then arguments) one after the other with an environment: exit code and stderr of each."""
    jobs = [(module, arguments, env) for module, *arguments in commands]
    with Fork(["-c", AT_THE_HUB, json.dumps(jobs)], folder) as process:
        assert process.wait(300) == 0, process.err
    return [tuple(json.loads(line)) for line in process.out.splitlines()]


class ModelHandler(BaseHTTPRequestHandler):
    """One commit of a model's repository: what its files are called, and the files, from any byte on."""

    repository: ClassVar[str] = ""
    folder: ClassVar[Path] = Path()
    commit: ClassVar[str] = "c" * 40
    broken: ClassVar[list[str]] = []  # files that break off once, after three quarters
    asked: ClassVar[list[str]] = []  # of each file that was sent: its name, and the byte that it began with

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        path = self.path.split("?")[0]
        if path.startswith(f"/api/models/{self.repository}"):
            names = [file.relative_to(self.folder).as_posix() for file in sorted(self.folder.rglob("*"))]
            info = {"id": self.repository, "sha": self.commit, "siblings": [{"rfilename": name} for name in names]}
            self.send(200, json.dumps(info).encode(), with_body, {"Content-Type": "application/json"})
            return
        file = self.folder / path.removeprefix(f"/{self.repository}/resolve/{self.commit}/")
        if not file.is_file():
            self.send(404, b"", with_body, {"X-Error-Code": "EntryNotFound"})
            return
        data = file.read_bytes()
        facts = {"X-Repo-Commit": self.commit, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if with_body:
            self.asked.append(f"{file.name} from {start}")
        if with_body and file.name in self.broken:
            self.broken.remove(file.name)
            self.send(200, data, False, facts)
            self.wfile.write(data[: len(data) * 3 // 4])
            self.close_connection = True
            return
        if start:
            facts["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.send(206 if start else 200, data[start:], with_body, facts)

    def send(self, status: int, data: bytes, with_body: bool, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@contextmanager
def model_hub(repository: str, folder: Path) -> Iterator[str]:
    """Serve a folder as a model's repository; gives the hub's URL."""
    ModelHandler.repository, ModelHandler.folder = repository, folder
    ModelHandler.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), ModelHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
