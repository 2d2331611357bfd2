"""Runs commands in forks of itself, each with the shim armed: a start costs a fork, not five seconds of imports.

A line of JSON comes in, a line of JSON goes out: see `Job` and `Ended` in `tests.proof.lab`.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import mmap
import os
import runpy
import shutil
import signal
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.batching import quick
from tests.endpoint import IMPATIENT
from tests.proof.rater import Rater

HUNG_AFTER = 300.0  # seconds
HEAVY = (
    "mmsb",
    "hydra",
    "omegaconf",
    "pydantic",
    "openai",
    "httpx2",
    "aiohttp",
    "rich",
    "mlflow",
    "sqlalchemy",
    "alembic",
    "numpy",
    "PIL",
    "jinja2",
    "altair",
    "narwhals",
    "jsonschema",
)


def main() -> None:
    quick()
    for name, value in IMPATIENT.items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)
    for line in sys.stdin:
        job = json.loads(line)
        answer = warm(job) if "imports" in job else run(job)
        print(json.dumps(answer), flush=True)


def warm(job: dict[str, Any]) -> dict[str, Any]:
    """Import what a first command had imported at its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in json.loads(Path(job["imports"]).read_text()):
            if name.partition(".")[0] in HEAVY:
                with suppress(Exception):
                    importlib.import_module(name)
    return {}


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run the command of a job, several times at once where it says so; tell how each ended."""
    counter = mmap.mmap(-1, 8)
    rater = Rater(Path(job["output"])) if job["rater"] else None
    children = [start(job, counter, rater) for _ in range(job["together"])]
    started, ended = time.monotonic(), []
    limit = job["seconds"] or HUNG_AFTER
    while children:
        for child in list(children):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                children.remove(child)
                ended.append(os.waitstatus_to_exitcode(status))
            elif job["vanish"] and time.monotonic() - started > job["vanish"]:
                job["vanish"] = None
                shutil.rmtree(Path(job["root"]) / "outputs", ignore_errors=True)
            elif time.monotonic() - started > limit:
                os.kill(child, signal.SIGKILL)
                limit = HUNG_AFTER if not job["seconds"] else limit
        if rater:
            rater.look()
        time.sleep(0.002)
    if rater:
        rater.close()
    hung = not job["seconds"] and time.monotonic() - started > HUNG_AFTER
    return {"codes": ended, "steps": ctypes.c_long.from_buffer_copy(counter).value, "hung": hung}


def start(job: dict[str, Any], counter: mmap.mmap, rater: Rater | None) -> int:
    child = os.fork()
    if child:
        return child
    os.chdir(job["folder"])
    out = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    typed = rater.terminal if rater else os.open(os.devnull, os.O_RDONLY)
    for given, wanted in ((typed, 0), (out, 1), (out, 2)):
        os.dup2(given, wanted)
    os.environ.update(job["env"])
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(counter))  # files are written to the very end of the process
    place = ctypes.byref(ctypes.c_long.from_buffer(counter))
    shim.shim_arm(job["mode"], ctypes.c_long(job["at"]), job["root"].encode(), job["shadow"].encode(), place)
    sys.argv = [job["module"], *job["arguments"]]
    code = 0
    try:
        runpy.run_module(job["module"], run_name="__main__", alter_sys=False)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    if job["loaded"]:
        Path(job["loaded"]).write_text(json.dumps(sorted(sys.modules)))
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
