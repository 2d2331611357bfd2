"""Any image-text-to-text model that transformers loads natively, by hub id or folder. No remote code.

Prompts go through the model's own chat template (or `template`), are padded on the left, and are answered
in batches. In float32 an answer in a batch equals the answer alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from mmsb.config import settings
from mmsb.errors import ModelError
from mmsb.hub import check_at_hand
from mmsb.model.adapter import adapted
from mmsb.model.cache import growing_cache
from mmsb.model.calibration import calibrated
from mmsb.model.device import pick_device
from mmsb.model.fit import Fit, image_side
from mmsb.model.generation import arguments, asked, defused, known_penalty, read_output, special_tokens
from mmsb.model.local import Local
from mmsb.model.pictures import side_by_side
from mmsb.model.template import check_template, template_text
from mmsb.picture import Picture
from mmsb.types import PLACE, How, Prompt, Response

COMPUTED = re.compile(r"\.(rotary_emb\.inv_freq|position_ids)$")  # buffers that old checkpoints hold
PLAIN = How()


@dataclass(frozen=True)
class Loaded:
    """A model of transformers with its processor, on its device."""

    model: Any
    processor: Any
    specials: re.Pattern[str]


@settings
class HF(Local):
    """A model of transformers.

    Attributes:
        backend: the image processor's implementation; the two differ by up to 0.03 in normalised pixels.
        fit: how pictures are fitted before the model's own image processor sees them.
        template: a chat template in place of the model's own: Jinja, or a file of it.
        stop: strings that end an answer (cut off from it).
        attention: attn_implementation of transformers.
        device_map: spread the weights over devices ("auto"), instead of `device`.
        quantization: "4bit" or "8bit" through bitsandbytes; None for full weights.
    """

    # torchvision, as transformers itself chooses: some families have no other.
    backend: Literal["pil", "torchvision"] = "torchvision"
    fit: Fit = Field(default_factory=Fit)
    template: str | None = None
    stop: tuple[str, ...] = ()
    attention: str = "sdpa"
    device_map: str | None = None
    quantization: Literal["4bit", "8bit"] | None = None

    SEES_REPLY: ClassVar[bool] = True
    CONTRASTS: ClassVar[bool] = True
    TWINS: ClassVar[bool] = True
    ARCHITECTURE: ClassVar[str] = "AutoModelForMultimodalLM"  # of transformers
    LOADING: ClassVar[tuple[str, ...]] = (*Local.LOADING, "backend", "attention", "device_map", "quantization")

    def check(self) -> None:
        """See `Local.check`, and the template (a ConfigError too)."""
        super().check()
        check_template(self.template, {}, parts=True)

    def content(self) -> dict[str, object]:
        """Image processing, template, stops and quantisation."""
        return {
            "backend": self.backend,
            "fit": [self.fit.how, list(self.fit.colour), self.fit.rounding],
            "template": template_text(self.template),
            "stop": list(self.stop),
            "quantization": self.quantization,
        }

    def load(self) -> Loaded:
        """Load processor and weights; every key must match.

        Raises:
            ModelError: not found, not an image-text-to-text model, or keys that do not match.
        """
        import transformers

        check_at_hand("model.name_or_path", self.name_or_path, self.revision)
        device = pick_device(self.device)
        try:
            processor = transformers.AutoProcessor.from_pretrained(
                # Never trust_remote_code: a checkpoint is data.
                self.name_or_path,
                revision=self.revision,
                backend=self.backend,
            )
            model, info = getattr(transformers, self.ARCHITECTURE).from_pretrained(
                self.name_or_path,
                revision=self.revision,
                dtype=self.dtype,
                attn_implementation=self.attention,
                device_map=self.device_map,
                quantization_config=self._quantization(),
                output_loading_info=True,
            )
        # Its own message says what to install, in its first sentence.
        except ImportError as error:
            raise ModelError(
                f"model.name_or_path={self.name_or_path} cannot be loaded: {str(error).strip().split('. ')[0]}",
                "Install what it needs; torchvision comes with pip install 'mmsb[local]'.",
            ) from error
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"model.name_or_path={self.name_or_path} cannot be loaded: {str(error).strip().splitlines()[0]}",
                "Give a folder on disk or a hub id (gated ones need HF_TOKEN in the environment).",
            ) from error
        refuse_unmatched(f"model.name_or_path={self.name_or_path}", info)
        model = model if self.device_map else model.to(device)
        # On the right, two of three answers were others than alone: `generate` goes on behind the padding.
        processor.tokenizer.padding_side = "left"
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        model = adapted(model.eval(), self.adapter, self.name_or_path)
        return Loaded(model, processor, special_tokens(processor.tokenizer, getattr(processor, "image_token", None)))

    def run(self, loaded: Loaded, inputs: Any, seed: int) -> list[Response]:
        """Answer a batch."""
        return self.run_as(loaded, inputs, seed, How())

    def run_as(self, loaded: Loaded, inputs: Any, seed: int, how: How) -> list[Response]:
        """Answer a batch as a guard is asked; or one whose logits are set against those of a second text."""
        if how.without is not None:
            return self._contrasted(loaded, inputs, seed, how)
        moved = inputs.to(loaded.model.device, dtype=loaded.model.dtype)
        return self.answers(loaded, loaded.model, moved, seed, how)

    def _contrasted(self, loaded: Loaded, pair: Any, seed: int, how: How) -> list[Response]:
        """Answer a prompt whose logits are calibrated; both texts are read, and both count."""
        moved, other = (one.to(loaded.model.device, dtype=loaded.model.dtype) for one in pair)
        further = {"logits_processor": calibrated(loaded.model, other, how.weight)}
        # Without `how`: its words and its longest reply are a guard's, and this is an answer.
        replies = self.answers(loaded, loaded.model, moved, seed, further=further)
        counts = other["attention_mask"].sum(dim=1).tolist()
        return [replace(r, input_tokens=(r.input_tokens or 0) + n) for r, n in zip(replies, counts, strict=True)]

    def answers(
        self,
        loaded: Loaded,
        model: Any,
        inputs: Any,
        seed: int,
        how: How = PLAIN,
        further: Mapping[str, Any] = MappingProxyType({}),
    ) -> list[Response]:
        """What `model` (the loaded one, or a part of it) generates from encoded prompts, as text."""
        import torch

        tokenizer = loaded.processor.tokenizer
        settled = asked(arguments(self.decoding, self.max_new_tokens, self.stop, tokenizer), how)
        settled |= {**self.further(loaded), **further}
        torch.manual_seed(seed)
        embedded = "inputs_embeds" in inputs
        with torch.inference_mode(), known_penalty(embedded):
            output = model.generate(**inputs, **settled, **growing_cache(model, settled))
        # `generate` gives the prompt back where it had ids, and new tokens alone where it had embeddings.
        prompt_length = 0 if embedded else inputs["input_ids"].shape[1]
        counts = inputs["attention_mask"].sum(dim=1).tolist()
        return read_output(tokenizer, output, prompt_length, counts, settled, self.stop, how)

    def further(self, loaded: Loaded) -> dict[str, Any]:
        """Arguments of `generate` that a family of models needs beyond the settings."""
        return {}

    def inputs(self, loaded: Loaded, batch: Sequence[Prompt]) -> Any:
        """Encode a batch: through the chat template, padded on the left.

        Raises:
            ModelError: a picture with a text that is whole as it is: there is no place for it.
        """
        # One for all: `batches` never mixes ways of asking.
        how = batch[0].how or PLAIN
        if how.whole:
            return self._whole(loaded, batch)
        pictures = self.pictures(loaded, batch)
        conversations = [self._messages(loaded, *shown) for shown in zip(batch, pictures, strict=True)]
        return loaded.processor.apply_chat_template(
            conversations,
            chat_template=template_text(self.template),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
            **json.loads(how.arguments),
        )

    def _whole(self, loaded: Loaded, batch: Sequence[Prompt]) -> Any:
        if any(prompt.image is not None for prompt in batch):
            raise ModelError(f"{self.name}: this guard reads text only", "Set judge.pictures=false.")
        from transformers import BatchFeature

        texts = [prompt.text for prompt in batch]
        encoded = loaded.processor.tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
        return BatchFeature({name: encoded[name] for name in ("input_ids", "attention_mask")})

    def _messages(self, loaded: Loaded, prompt: Prompt, picture: Any = None) -> list[dict[str, Any]]:
        """The prompt as a chat. Special tokens in its text are defused: a text cannot end its own turn.

        Args:
            loaded: tells the special tokens.
            prompt: what is asked.
            picture: its picture's pixels; None where only the text of the chat is wanted.
        """
        how = prompt.how or PLAIN
        messages = [{"role": "user", "content": self._content(loaded, prompt, picture, how.placed)}]
        if prompt.system:
            system = defused(prompt.system, loaded.specials)
            messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
        if prompt.reply is not None:
            reply = defused(prompt.reply, loaded.specials)
            messages.append({"role": "assistant", "content": [{"type": "text", "text": reply}]})
        if how.closing is not None:
            # Not defused: it is the guard's own wording, from our configuration, and may hold its tokens.
            messages.append({"role": "user", "content": [{"type": "text", "text": how.closing}]})
        return messages

    def _content(self, loaded: Loaded, prompt: Prompt, picture: Any, placed: bool) -> list[dict[str, Any]]:
        """The user's turn: the picture before the text, or where the text has its place."""
        text = defused(prompt.text, loaded.specials)
        if prompt.image is None:
            return [{"type": "text", "text": text}]
        image = {"type": "image", "image": picture}
        if not placed:
            return [image, {"type": "text", "text": text}]
        before, _, after = text.partition(PLACE)
        parts = [{"type": "text", "text": before}, image, {"type": "text", "text": after}]
        return [part for part in parts if part.get("text") != ""]  # some templates end an empty text with a newline

    def pictures(self, loaded: Loaded, batch: Sequence[Prompt]) -> list[Any]:
        """The fitted picture of each prompt, or None.

        Raises:
            DataError: one cannot be decoded.
        """
        return side_by_side(lambda prompt: prompt.image and self.fitted(loaded, prompt.image), batch)

    def fitted(self, loaded: Loaded, picture: Picture) -> Any:
        """The picture's pixels, fitted as the settings say."""
        return self.fit.apply(picture.load(), image_side(loaded.processor.image_processor))

    def _quantization(self) -> Any:
        if self.quantization is None:
            return None
        from transformers import BitsAndBytesConfig

        return BitsAndBytesConfig(load_in_4bit=self.quantization == "4bit", load_in_8bit=self.quantization == "8bit")


def refuse_unmatched(where: str, info: Mapping[str, Any]) -> None:
    """Stop where weights and architecture do not fit each other, key for key.

    Args:
        where: what was loaded, for the error.
        info: what `from_pretrained` gives with `output_loading_info`.

    Raises:
        ModelError: naming the first keys.
    """
    # transformers only warns of them, and answers with weights that were drawn by lot.
    wrong = [
        f"{kind} {key}"
        for kind in ("missing", "unexpected", "mismatched")
        for key in sorted(map(str, info[f"{kind}_keys"]))
        if not COMPUTED.search(key)
    ]
    if wrong:
        raise ModelError(f"{where} does not match its architecture: {'; '.join(wrong[:8])}")


def as_published(tokenizer: Any) -> None:
    """Let a tokenizer of the `tokenizers` library read texts as the first fast tokenizers of LLaMA did."""
    from tokenizers import normalizers

    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # That of transformers 5 (Metaspace) drops the blank before a text that follows a special token.
    tokenizer.pre_tokenizer = None
