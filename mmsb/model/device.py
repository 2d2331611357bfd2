"""Where a model runs, and giving back what it held."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys

from mmsb.errors import ModelError

SHOWN = 120  # characters of what torch says
# Out of memory where it has no class of its own: torch's on the CPU (Linux, Windows) and on Apple's GPU; numpy's,
# which transformers hides in a ValueError about shapes.
SHORT = re.compile(
    r"DefaultCPUAllocator: .*memory.*|MPS backend out of memory.*|std::bad_alloc|Unable to allocate .* for an array.*"
)


TRIM, PAD, MAP = -1, -2, -3  # malloc's parameters, as <malloc.h> of glibc numbers them
KEPT = 256 << 20  # bytes
AHEAD = 64 << 20


def keep_memory() -> None:
    """Have this process keep what a batch on the CPU frees for the next one, in large pages where the system has them.

    A batch's tensors come and go by the gigabyte; to be given each page anew took a tenth of its time. Of effect where
    torch has made no tensor yet, and on glibc.
    """
    # Read by torch at its first tensor.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if glibc := _glibc():
        # The first, since to set the others ends its own growing with what is asked for.
        for parameter, size in ((MAP, KEPT), (TRIM, KEPT), (PAD, AHEAD)):
            glibc.mallopt(parameter, size)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") else None


def release_memory() -> None:
    """Give back what the dropped tensors held."""
    import torch

    # First: tensors in a cycle of references still hold their memory, and the cache gives back only what is free.
    gc.collect()
    if glibc := _glibc():
        glibc.malloc_trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory(error: Exception) -> str | None:
    """What torch says of memory that ran out; None where the error is another."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return (str(error).splitlines() or ["out of memory"])[0]
    found = SHORT.search(str(error))
    return found[0] if found else None


def pick_device(device: str) -> str:
    """Resolve "auto": the first GPU, else Apple's, else the CPU; anything else is taken as it is.

    Raises:
        ModelError: torch does not know it, or it is not in this machine.
    """
    import torch

    if device == "cpu":
        return device
    if device != "auto":
        try:
            # Tried, since torch takes any name and fails at the first tensor, after minutes of loading.
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:  # the latter: torch built without it
            raise ModelError(
                f"model.device={device} cannot be used here: {str(error).splitlines()[0][:SHOWN]}",
                "Leave it at auto, or give cpu, cuda, cuda:1, mps: what this machine has.",
            ) from error
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
