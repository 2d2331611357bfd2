"""Whether a model fits, before it is downloaded or loaded."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsb.errors import ModelError

if TYPE_CHECKING:
    from mmsb.model.local import Local

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "8bit": 1.0, "4bit": 0.5}
GB = 1e9
LONGEST = 100_000_000  # bytes of a header, as safetensors allows


def needed(model: Local) -> float | None:
    """Bytes of the weights as they will be loaded; None where nothing is known of them.

    Counted in the files where they are on disk, else from the card. Activations and the cache of keys and values come
    on top.
    """
    kind = getattr(model, "quantization", None) or model.dtype
    found = parameters(Path(model.name_or_path).expanduser())
    if not found and model.card is not None and model.card.parameters is not None:
        found = model.card.parameters * 1e9
    return found * BYTES[kind] or None


def parameters(folder: Path) -> float:
    """How many weights the safetensors files of a folder hold, from their headers; 0 without any.

    Raises:
        ModelError: one of them is no such file.
    """
    headers = [_header(file) for file in folder.glob("*.safetensors")]
    shapes = [entry["shape"] for header in headers for key, entry in header.items() if key != "__metadata__"]
    return float(sum(map(math.prod, shapes)))


def _header(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        # The header alone: safetensors begins with its length, and gigabytes of weights need not be touched. What is no
        # such file, a pointer of Git LFS say, may begin with any number.
        length = int.from_bytes(opened.read(8), "little")
        try:
            found: dict[str, Any] = json.loads(opened.read(length if length <= LONGEST else 0))
        except ValueError as error:
            raise ModelError(
                f"{file} is no file of weights, or only its beginning",
                "Download it again (hf download); of a checkout with Git LFS: git lfs pull.",
            ) from error
    return found


def free(model: Local) -> tuple[float, str]:
    """Bytes that are free where the model will be, and the name of the place."""
    import psutil  # type: ignore[import-untyped]
    import torch

    from mmsb.model.device import pick_device

    device = pick_device(model.device)
    memory = float(psutil.virtual_memory().available)
    # Also for Apple's: its GPU has the machine's memory.
    if not device.startswith("cuda"):
        return memory, "memory"
    if getattr(model, "device_map", None) is None:
        return float(torch.cuda.mem_get_info(device)[0]), device
    gpus = sum(torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count()))
    return gpus + memory, "all GPUs and memory together"


def check_memory(model: Local) -> None:
    """Stop where the weights alone need more than there is.

    Raises:
        ModelError: with the sizes and what can be done.
    """
    size = needed(model)
    # Unknown is no reason to refuse; loading will tell.
    if size is None:
        return
    available, place = free(model)
    if size > available:
        raise ModelError(
            f"{model.name} needs {size / GB:.1f} GB for its weights in {model.dtype}; "
            f"{available / GB:.1f} GB of {place} are free",
            ", ".join(options(model, place)) + ".",
        )


def options(model: Local, place: str) -> list[str]:
    """Settings under which a smaller machine may hold the model."""
    found = []
    if model.dtype == "float32":
        found.append("model.dtype=bfloat16 (half the size)")
    if hasattr(model, "quantization") and model.quantization is None:
        found.append("model.quantization=4bit (a quarter of bfloat16)")
    if place.startswith("cuda") and getattr(model, "device_map", "") is None:
        found.append("model.device_map=auto (spread over all GPUs and memory)")
    return [*found, "a machine with more memory behind an endpoint (model=vllm model.name=...)"]
