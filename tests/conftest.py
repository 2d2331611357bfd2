"""What tests share: one torch thread, the authors' files where a machine has them, commands run as a user runs them."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models are many times slower on two threads
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="mmsb-tests-")  # not the user's

import gc
import io
import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings

from tests.commanding import command, composed, elsewhere, own  # noqa: F401 - fixtures for all
from tests.composing import (  # noqa: F401
    configurations_are_copied_fast,
    files_of_a_run_are_written_fast,
    own_files_are_read_once,
    own_options_are_merged_once,
    texts_are_parsed_once,
)
from tests.endpoint import impatient  # noqa: F401
from tests.forks import PLACE, PYTHON, parent, python
from tests.recording import stores_are_migrated_once  # noqa: F401

# With torch and transformers in memory each full collection walks a million objects: a seventh of the suite's time.
gc.set_threshold(20_000, 20, 50)

# The same few examples on every machine; `make proof` tries many, others each time.
settings.register_profile("few", max_examples=20, deadline=None, derandomize=True, database=None)
settings.register_profile("many", max_examples=500, deadline=None, derandomize=False, database=None)
settings.load_profile(os.environ.get("MMSB_EXAMPLES", "few"))

ROOT = Path(__file__).resolve().parent.parent
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Workers are forks too: what takes seconds to import is imported once, and not by each."""
    os.environ[PLACE] = parent()
    for spec in specs:
        spec.python = spec.python or PYTHON


def pytest_collection_finish() -> None:
    """A model that goes has all of memory walked for what it held: thousands of tests need not be walked each time."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def memory_is_walked_seldom() -> Iterator[None]:
    """Each model that goes has all of memory walked for what it held. Of tiny ones that is little: every tenth time."""
    gone = count(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmsb.model.device.gc", SimpleNamespace(collect=lambda: next(gone) % 10 or gc.collect()))
        yield


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """What a test's commands leave in the environment (a sweep tells its workers there) ends with it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def authors_data() -> Path:
    """The authors' question files (CC BY-NC 4.0, not part of this project); skips where they are not at hand."""
    beside = next(ROOT.parent.glob("*/mm-safetybench"), ROOT.parent / "mm-safetybench")
    folder = Path(os.environ.get("MMSB_AUTHORS_DATA", beside))
    if not (folder / "processed_questions").is_dir():
        pytest.skip("the authors' question files are not here; set MMSB_AUTHORS_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def small_llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaVA checkpoint of a few thousand weights."""
    from tests.small_llava import save_small_llava

    return save_small_llava(tmp_path_factory.mktemp("small-llava"))


@pytest.fixture
def mmsb(tmp_path: Path) -> Run:
    """Run `python -m mmsb ...` in an empty folder, in this process; outputs land in `tmp_path`/outputs."""
    return partial(run_in, tmp_path)


def run_in(folder: Path, *arguments: str, module: str = "mmsb", **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, in this process.

    A process of its own takes seconds to import what is here already. Tests that mean one have `mmsb_process`.
    """
    before, out, err = dict(os.environ), io.StringIO(), io.StringIO()
    here, argv = Path.cwd(), sys.argv
    os.chdir(folder)
    sys.argv = [module, *arguments]
    os.environ.update(env)
    try:
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", "'mmsb.*' found in sys.modules", RuntimeWarning)
            code = _exit_code(module)
    finally:
        os.environ.clear()
        os.environ.update(before)
        os.chdir(here)
        sys.argv = argv
    return subprocess.CompletedProcess([module, *arguments], code, out.getvalue(), err.getvalue())


def _exit_code(module: str) -> int:
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=False)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    return 0


@pytest.fixture
def mmsb_process(tmp_path: Path) -> Run:
    """The same in a process of its own, as a user runs it: begun with nothing imported."""
    return partial(process_in, tmp_path, sys.executable)


@pytest.fixture
def mmsb_fork(tmp_path: Path) -> Run:
    """The same in a process of its own that begins as a fork (`tests.forks`), as do those that it starts."""
    return partial(process_in, tmp_path, python())


def process_in(
    folder: Path, python: str, *arguments: str, module: str = "mmsb", **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, in a process of its own."""
    return subprocess.run(
        [python, "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
