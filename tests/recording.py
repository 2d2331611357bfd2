"""What tests share to record runs: an empty store of MLflow, made once."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmsb.tracker import mlflow_store

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture(scope="session", autouse=True)
def stores_are_migrated_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[None]:
    """MLflow makes a store by fifty migrations, for more than a second: each that is begun is a copy of the first."""
    own = tmp_path_factory.getbasetemp()
    shared = (own if worker_id == "master" else own.parent) / "migrated"
    shared.mkdir(exist_ok=True)
    client_of = mlflow_store.client_of

    def migrated() -> Path:
        store = shared / mlflow_store.FILE
        with (shared / "lock").open("w") as lock:  # one for all workers
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

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow_store, "client_of", begun)
        yield
