"""Where a model runs, and giving back what it held."""

from __future__ import annotations

import gc


def release_memory() -> None:
    """Give back what the dropped tensors held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def pick_device(device: str) -> str:
    """Resolve "auto": the first GPU, else Apple's, else the CPU; anything else is taken as it is."""
    import torch

    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
