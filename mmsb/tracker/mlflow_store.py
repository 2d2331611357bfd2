"""Opening MLflow's store: quietly, without network chatter, and made once, whole, where it is a SQLite file."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # of every run of a server that ends: ours are told once
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # an error is told by us, without its stack
    "GIT_PYTHON_REFRESH": "quiet",
    # A server that does not answer is reported after seconds, not after the default's many minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
ANSWERS_WITHIN = 5.0  # seconds in which a server must accept a connection and say something
FILE, DRAFT = "mlflow.db", ".mlflow.db.new"
MOUNTS = Path("/proc/self/mounts")
SHARED = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "9p", "fuse", "afs", "glusterfs", "orangefs")


def without_user(text: str) -> str:
    """The text with user, password and the values of the query taken out of every URI."""
    return re.sub(r"(://[^\s?#]*[?])\S*", r"\1...", re.sub(r"://[^/@\s]+@", "://", text))


def reason_of(error: Exception) -> str:
    """What went wrong, in one line for people.

    MLflow's client wraps what its HTTP library wraps: the words that help stand innermost, behind hundreds of others.
    """
    lines = without_user(str(error)).splitlines()
    # A database's own words stand below SQLAlchemy's, in front of the whole statement.
    said = next((line for line in lines if re.match(r"\(\w+\.\w+\) ", line)), next(iter(lines), ""))
    request, _, rest = said.partition(" failed with exception ")
    if cause := re.search(r"Caused by (\w+)\((.*)", rest):
        inner = re.search(r"[\w ]*[a-z] [\w ]{3,}", cause[2].rpartition("):")[2] or cause[2])
        return f"{request} failed: {cause[1]}{f' ({inner[0].strip()})' if inner else ''}"
    return f"{type(error).__name__}: {said[:300]}"


@dataclass(frozen=True)
class StorePlace:
    """Where runs are recorded: a server (or any URI that MLflow takes), or SQLite in the output folder."""

    output_dir: Path
    given: str | None

    @property
    def uri(self) -> str:
        """The tracking URI; absolute, so that it means the same from every folder."""
        return self.given or f"sqlite:///{self.output_dir.absolute()}/{FILE}"

    @property
    def shown(self) -> str:
        """The URI without user and password."""
        return without_user(self.uri)

    @property
    def is_server(self) -> bool:
        """Whether the URI is a server's, which has the UI too."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def artifacts(self) -> str | None:
        """Where artifacts go; None: the server decides."""
        return None if self.given else str(self.output_dir.absolute() / "mlartifacts")

    @property
    def begun(self) -> bool:
        """Whether there may be records: interrupted while our file is made, there are none."""
        return bool(self.given) or (self.output_dir / FILE).exists()

    @contextmanager
    def opened(self) -> Iterator[MlflowClient]:
        """A client. Our SQLite file is made first if it is not there.

        Raises:
            OSError: the server does not answer, or the file cannot be written.
        """
        if self.is_server:
            _knock(self.uri)
        elif not self.given:
            with self.locked():
                if not (self.output_dir / FILE).exists():
                    self._make()
            self._probe()
        yield client_of(self.uri)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the other processes that record into this folder out meanwhile."""
        self.output_dir.mkdir(parents=True, exist_ok=True)
        with (self.output_dir / ".mlflow.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def alone_with(self, identity: str) -> Iterator[None]:
        """Keep out meanwhile who records the same: both would find nothing there and record it, as two."""
        with (self.output_dir / ".mlflow.recording").open("w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX, 1, int(identity[:7], 16))
            yield

    def _probe(self) -> None:
        """Fail at once if the file cannot be written: MLflow would try for minutes."""
        with closing(sqlite3.connect(self.output_dir / FILE, timeout=20)) as store:
            # A write lock and no write: it meets a read-only file, a full disk and a lock that somebody holds alike.
            store.execute("BEGIN IMMEDIATE")

    def _make(self) -> None:
        """Make the store beside its place and put it there whole: its tables come in dozens of steps."""
        # Of a process that was killed here: the lock is ours, so nobody writes it any more.
        for stale in self.output_dir.glob(f"{DRAFT}*"):
            stale.unlink()
        draft = self.output_dir / DRAFT
        try:
            client_of(f"sqlite:///{draft.absolute()}").search_experiments(max_results=1)
            with closing(sqlite3.connect(draft)) as store:
                if not on_shared_disk(self.output_dir):  # it needs memory that all writers share
                    store.execute("PRAGMA journal_mode=WAL")
                    # What lies in the log beside the draft would not move with it.
                    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            # Whole or not at all: a store that was cut in the middle of its migrations is of no use to MLflow
            # afterwards.
            draft.replace(self.output_dir / FILE)
        finally:
            for rest in self.output_dir.glob(f"{DRAFT}*"):
                rest.unlink()


def on_shared_disk(folder: Path) -> bool:
    """Whether a folder lies on a network drive, as far as the system tells."""
    if not MOUNTS.is_file():
        return False
    # The longest mount point that holds the folder is its own: `/` holds every folder.
    place, kind = "", ""
    for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
        _, mount, found, *_ = line.split(" ")
        if folder.resolve().is_relative_to(mount) and len(mount) >= len(place):
            place, kind = mount, found
    return kind.startswith(SHARED)


def _knock(uri: str) -> None:
    """See that a server is there, before MLflow is imported and tries again and again."""
    url = urlsplit(uri)
    health = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path.rstrip('/')}/health"
    try:
        with urllib.request.urlopen(health, timeout=ANSWERS_WITHIN):
            pass
    except urllib.error.HTTPError:
        pass  # it answers; whether it lets us in is said by what follows
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {ANSWERS_WITHIN:.0f} seconds") from error


def client_of(uri: str) -> MlflowClient:
    """A client that says nothing on the terminal."""
    for name, value in QUIET.items():
        # Before the import, which reads them; what the user has set stays.
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Its store logs what the database refuses with the whole stack, and raises it too: we tell what was raised.
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
    return MlflowClient(tracking_uri=uri)


def experiment_id(client: MlflowClient, name: str, artifacts: str | None) -> str:
    """The experiment's id; made now if there is none."""
    from mlflow.exceptions import MlflowException

    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name, artifacts))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return experiment_id(client, name, artifacts)  # another process was first
