"""python -m tests.proof.armed COUNTER MODE AT ROOT SHADOW MODULE ...: a command that the shim, preloaded, breaks."""

from __future__ import annotations

import ctypes
import importlib
import mmap
import os
import runpy
import sys

from tests.batching import quick
from tests.endpoint import IMPATIENT


def main() -> None:
    """Arm the shim for what the command does, and run it."""
    counter, mode, at, root, shadow, module, *arguments = sys.argv[1:]
    quick()
    for name, value in IMPATIENT.items():
        owner, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(owner), attribute, value)
    steps = mmap.mmap(int(counter), 8)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(steps))  # files are written to the very end of the process
    shim, place = ctypes.CDLL(os.environ["LD_PRELOAD"]), ctypes.byref(ctypes.c_long.from_buffer(steps))
    sys.argv = [module, *arguments]
    shim.shim_arm(int(mode), ctypes.c_long(int(at)), root.encode(), shadow.encode(), place)
    runpy.run_module(module, run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main()
