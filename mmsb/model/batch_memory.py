"""What a batch takes in memory beside the weights, by the checkpoint's own configuration.

While a batch is answered, every layer keeps the keys and values of every token, with room for those to come
(`mmsb.model.cache`); when its prompts are read, the activations of one layer come on top.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsb.errors import ModelError
from mmsb.model.cache import ROOM
from mmsb.model.memory_check import BYTES

if TYPE_CHECKING:
    from mmsb.model.local import Local

STATES, INNER = 6, 3  # tensors of all tokens alive at the peak of a layer: of its width; of its feed-forward part
LANGUAGE = ("text_config", "llm_config", "language_config", "text")  # where a configuration has the language model's


@dataclass(frozen=True)
class Shape:
    """A language model's sizes.

    Attributes:
        layers: those that keep keys and values.
        kept: numbers a token keeps in a layer: its keys and its values.
        width: numbers of a token's hidden state.
        inner: numbers inside of its feed-forward part.
    """

    layers: int
    kept: int
    width: int
    inner: int

    def bytes(self, model: Local, prompt: float, rows: int) -> float:
        """Of a batch.

        Args:
            model: its precision and the length of its answers.
            prompt: tokens of the longest prompt, its picture included.
            rows: prompts at a time.
        """
        each, answer = BYTES[model.dtype], model.max_new_tokens
        rows *= int(model.decoding.get("num_beams") or 1)
        read = self.layers * self.kept * prompt + (STATES * self.width + INNER * self.inner) * prompt
        room = min(ROOM, answer)
        # A layer's keys are copied when there is no more room, and its values after them.
        answered = (self.layers + 0.5) * self.kept * (prompt + math.ceil(answer / room) * room)
        return each * rows * max(read, answered) + rows * prompt**2  # the mask has a byte for each pair


def shape(model: Local) -> Shape | None:
    """The sizes that the checkpoint's configuration tells, on disk or in the hub's cache; None where it does not."""
    for read in (_written, _whole):  # as it is written first: transformers takes seconds to come
        try:
            _, language = read(model)
            return _sizes(language)
        except (OSError, ImportError, ValueError, KeyError, TypeError, AttributeError, ModelError):
            continue
    return None  # of a model that is unlike all others nothing is said, rather than something wrong


def configurations(model: Local) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The checkpoint's configuration and in it that of the language model: as written, then with all defaults.

    Raises:
        OSError: it is not on this machine.
        ModelError: there is no such folder.
    """
    yield _written(model)
    yield _whole(model)


def _sizes(language: Mapping[str, Any]) -> Shape:
    heads, layers = language["num_attention_heads"], language["num_hidden_layers"]
    size = language.get("head_dim") or language["hidden_size"] // heads
    kept = 2 * size * (language.get("num_key_value_heads") or heads)
    recurrent = sum(kind == "linear_attention" for kind in language.get("layer_types") or ())
    return Shape(layers - recurrent, kept, language["hidden_size"], language["intermediate_size"])


def _written(model: Local) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The checkpoint's configuration, and in it that of the language model, as they stand in the file."""
    folder = model.folder()
    if folder is None:
        from huggingface_hub import try_to_load_from_cache

        file = try_to_load_from_cache(model.name_or_path, "config.json", revision=model.revision)
        folder = Path(str(file)).parent
    whole = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    whole = whole.get("parts", whole)  # of a composed model
    return whole, next((whole[name] for name in LANGUAGE if name in whole), whole)


def _whole(model: Local) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The same with what files leave out, since it equals the defaults of their architecture."""
    from transformers import AutoConfig

    where = str(model.folder() or model.name_or_path)
    found = AutoConfig.from_pretrained(where, revision=model.revision, local_files_only=True)
    return found.to_dict(), found.get_text_config().to_dict()
