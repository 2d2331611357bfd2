"""Whether what a local model's settings name is there and can be used here: looked at before a sweep begins.

Weights are not opened, and torch and transformers not imported where no setting needs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmsb.config import suggestion
from mmsb.errors import ConfigError, ModelError

CONFIG = "config.json"
WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")
LIBRARIES: Mapping[
    str, Mapping[str, Sequence[str]]
] = {  # any of which a setting needs, beyond what every local model does
    "quantization": {"4bit": ("bitsandbytes",), "8bit": ("bitsandbytes",)},
    "attention": {"flash_attention_2": ("flash_attn", "kernels"), "flash_attention_3": ("flash_attn_3", "kernels")},
}


def check_folder(folder: Path) -> None:
    """See that a folder holds a checkpoint, as transformers saves it.

    Raises:
        ModelError: its configuration or its weights are not there.
    """
    lacking = "" if (folder / CONFIG).is_file() else CONFIG
    if not lacking and not any(any(folder.glob(kind)) for kind in WEIGHTS):
        lacking = f"weights ({', '.join(WEIGHTS)})"
    if lacking:
        remedy = "Give the folder that save_pretrained wrote, or that hf download filled."
        if (folder / "adapter_config.json").is_file():
            remedy = f"It is an adapter: give its model here, and model.adapter={folder}"
        raise ModelError(f"model.name_or_path={folder} holds no {lacking}", remedy)


def check_libraries(model: object) -> None:
    """See that the libraries are installed that a model's settings need.

    Raises:
        ModelError: one is not.
    """
    for setting, needs in LIBRARIES.items():
        value = getattr(model, setting, None)
        wanted = needs.get(str(value), ())
        if wanted and not any(map(find_spec, wanted)):
            raise ModelError(
                f"model.{setting}={value} needs {wanted[0]}, which is not installed",
                f"pip install {wanted[0].replace('_', '-')}, or leave model.{setting} out.",
            )


def check_generation(generation: Mapping[str, Any]) -> None:
    """See that transformers' `generate` knows the arguments that were set.

    Raises:
        ConfigError: it does not know one, or not such a value.
    """
    if not generation:
        return
    from transformers import GenerationConfig

    known = GenerationConfig()
    if unknown := [name for name in generation if not hasattr(known, name)]:
        allowed = sorted(name for name in known.to_dict() if not name.startswith(("_", "transformers_")))
        raise ConfigError(
            f"model.generation.{unknown[0]}={generation[unknown[0]]}: generate has no such argument",
            suggestion(unknown[0], allowed),
        )
    try:
        GenerationConfig(**generation).validate()
    except (ValueError, TypeError) as error:
        told = " ".join(f"model.generation.{name}={value}" for name, value in generation.items())
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"{told}: {reason}", "See GenerationConfig of transformers for what each takes.") from error
