"""What tests share to record runs: an empty store of MLflow, made once."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmsb.tracker import mlflow_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

SHARED = "MMSB_TESTS_STORES"  # the environment's name of the folder with a migrated store


@pytest.fixture(scope="session", autouse=True)
def stores_are_migrated_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[None]:
    """MLflow makes a store by fifty migrations, for more than a second: each that is begun is a copy of the first."""
    own = tmp_path_factory.getbasetemp()
    shared = (own if worker_id == "master" else own.parent) / "migrated"
    shared.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SHARED, str(shared))  # for forks too
        patch.setattr(mlflow_store, "client_of", copying(shared))
        yield


def copying(shared: Path) -> Callable[[str], MlflowClient]:
    """What opens a store, and begins one that is not there as a copy of the one in a folder, which may be made now."""
    client_of = mlflow_store.client_of

    def migrated() -> Path:
        store = shared / mlflow_store.FILE
        with (shared / "lock").open("w") as lock:  # one for all processes
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not store.exists():
                draft = store.with_suffix(".draft")
                client_of(f"sqlite:///{draft}").search_experiments(max_results=1)
                draft.rename(store)
        return store

    def begun(uri: str) -> MlflowClient:
        place = Path(uri.removeprefix("sqlite://"))
        if place.name == mlflow_store.DRAFT and not place.exists():
            shutil.copyfile(migrated(), place)
        return client_of(uri)

    return begun


def as_in_tests() -> None:
    """Do in a fork what `stores_are_migrated_once` does in the tests' own process, where its environment says so."""
    if shared := os.environ.get(SHARED):
        pytest.MonkeyPatch().setattr(mlflow_store, "client_of", copying(Path(shared)))
