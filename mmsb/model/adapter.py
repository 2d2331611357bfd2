"""A LoRA fine-tune on top of a model: an adapter folder as peft saves it, put in when the model is loaded.

The deltas stay beside the weights, as in training: nothing is merged, so nothing is rounded, and quantised weights work
too. Of composed models it is the language model that is adapted.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmsb.errors import ConfigError, ModelError

CONFIG = "adapter_config.json"


@contextmanager
def old_names() -> Iterator[None]:
    """Silence transformers' notice that peft asks it by an old name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


def check_adapter(folder: Path) -> None:
    """Whether a folder holds an adapter and peft is there to read it; asked before anything heavy is done.

    Raises:
        ConfigError: no such folder, no adapter in it, or peft is not installed.
    """
    from importlib.util import find_spec

    if not (folder / CONFIG).is_file():
        raise ConfigError(
            f"model.adapter={folder} holds no {CONFIG}", "Give the folder that peft's save_pretrained wrote."
        )
    if find_spec("peft") is None:
        raise ConfigError(f"model.adapter={folder} needs peft, which is not installed", "pip install 'mmsb[lora]'")


def adapted(model: Any, folder: Path | None, base: str) -> Any:
    """The model with the adapter's deltas; every key of the adapter must find its place, and every place its key.

    Args:
        model: a model of transformers; its modules are changed.
        folder: the adapter; None leaves the model as it is.
        base: the model's name, to be held against the one that the adapter was trained on.

    Raises:
        ConfigError: see `check_adapter`.
        ModelError: an adapter of another architecture, or half of one.
    """
    if folder is None:
        return model
    check_adapter(folder)
    from peft import PeftModel, get_peft_model_state_dict, load_peft_weights

    told = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
    # Said, not refused: the same weights go by many names, and whether they fit is told by the keys below.
    if told and Path(told).name.casefold() != Path(base).name.casefold():
        print(f"the adapter {folder} says it was trained on {told}; it is put on {base}", file=sys.stderr)
    try:
        with old_names():
            tuned = PeftModel.from_pretrained(model, str(folder), is_trainable=False)
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"model.adapter={folder} does not fit {base}: {problem}", "Give an adapter of this model."
        ) from error
    # peft only warns of keys that find no place: the answers would be those of the bare model under the adapter's name.
    held, wanted = set(load_peft_weights(str(folder), device="cpu")), set(get_peft_model_state_dict(tuned))
    if wrong := sorted(held ^ wanted):
        raise ModelError(
            f"model.adapter={folder} does not fit {base}: {len(wrong)} weights without a counterpart, "
            f"e.g. {', '.join(wrong[:3])}",
            "Give an adapter of this model.",
        )
    # The base model, whose layers hold the deltas now: what is called elsewhere is transformers' own class.
    return tuned.get_base_model().eval()
