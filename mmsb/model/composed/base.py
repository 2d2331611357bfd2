r"""A model composed of transformers' own parts, from one safetensors folder that `python -m mmsb.convert` makes.

A model is a settings class in a file of this folder (light to import), its graph in another (`*_net.py`, with torch):

    @settings
    class MyModel(Composed):
        PARTS = {"vision": {...}, "text": {...}}      # the published sizes; `parts` in the YAML changes single ones
        RULES = {"vision": [(r"visual\.(.*)", r"vision_tower.\1"), (r"head\..*", None)], "language": [...]}
        def build(self, parts): ...                   # the graph; also on the meta device, also tiny
        def convert(self, sources): ...               # only where renaming is not enough
        def generating(self, net, inputs): ...        # only where `generate` needs more than embeddings and mask

The graph is an `nn.Module` with `language_model` (a causal LM of transformers, answers `generate`) and
`vision(pixels [n, 3, side, side]) -> [n, tokens, hidden]`; `parts["vision"]["image_size"]` is the side. Its state dict
is the checkpoint, key for key.

Prompts: `prompt` is a template with `{image}`, `{question}`, perhaps `{system}`. It is cut at `{image}`; each segment
is tokenised by itself, the image's embeddings stand in the gap. A template without `{image}` is for models whose image
is not in the sequence: they take `inputs.images` in `generating`. Without an image, `text_prompt` is asked.

Conversion: `RULES` has (regular expression, replacement) pairs for each entry of `source`. The first that matches a
whole key names it in the graph; None drops it; a key that matches none is an error. `convert` yields (key, tensor) of
the graph. Override it for what is more than a name (joined biases, merged LoRA deltas, a rotary permutation), with
`mmsb.convert.rename.renamed(sources.tensors(entry), RULES[entry], entry)` where names suffice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal

from PIL import Image
from pydantic import Field

from mmsb.config import settings
from mmsb.convert.rename import Rules, renamed_entries
from mmsb.convert.source import Source, Sources, check_converted, published_config
from mmsb.digest import write_atomically
from mmsb.model.adapter import adapted
from mmsb.model.cache import growing_cache
from mmsb.model.composed.batch import Encoded, Inputs, Loaded
from mmsb.model.device import pick_device
from mmsb.model.fit import Fit
from mmsb.model.generation import arguments, defused, known_penalty, response, special_tokens
from mmsb.model.local import Local
from mmsb.model.pictures import side_by_side
from mmsb.types import Prompt, Response

IMAGE, QUESTION, SYSTEM = "{image}", "{question}", "{system}"
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@settings
class Composed(Local):
    """Settings of composed models; `name_or_path` is the folder that the conversion makes.

    Attributes:
        prompt: the template asked with an image.
        text_prompt: the template asked without one.
        system: what stands at `{system}`; a prompt's own system text replaces it, or precedes the question where the
            template has no `{system}`.
        bos: how many beginning tokens stand before the first segment.
        end_tokens: tokens that end an answer; the tokenizer's own where empty.
        stop: strings that end an answer (cut off from it).
        answer_after: a string that an answer begins behind, where it holds it (as the authors' code reads answers).
        fit: how pictures become the square that the vision tower sees.
        parts: changes to the published sizes, part by part.
        source: the published files that the conversion reads.
    """

    prompt: str
    text_prompt: str
    system: str = ""
    # 0 for Otter and Qwen-VL, whose language models know no beginning token.
    bos: int = 1
    end_tokens: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    answer_after: str = ""
    fit: Fit = Field(default_factory=lambda: Fit(how="squash"))
    parts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    source: dict[str, Source] = Field(default_factory=dict)

    PARTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    PATCHES_A_TOKEN: ClassVar[int] = 1  # of the vision tower's, where no queries read them
    RULES: ClassVar[Mapping[str, Rules]] = {}
    # By name and no wider: strictness is the only protection while the real weights cannot be tried here.
    MAY_MISS: ClassVar[tuple[str, ...]] = ()  # patterns of keys tied to others, absent from the checkpoint
    MEAN: ClassVar[tuple[float, float, float]] = CLIP_MEAN
    STD: ClassVar[tuple[float, float, float]] = CLIP_STD
    RESAMPLE: ClassVar[Literal["BICUBIC", "BILINEAR"]] = "BICUBIC"

    def architecture(self) -> dict[str, dict[str, Any]]:
        """The sizes of the parts, as arguments of their configurations: the published ones, changed by `parts`."""
        names = {**self.PARTS, **self.parts}
        return {name: {**self.PARTS.get(name, {}), **self.parts.get(name, {})} for name in names}

    def sizes(self, sources: Sources) -> dict[str, dict[str, Any]]:
        """`architecture`, with the vocabulary as large as the published language model's."""
        sizes = self.architecture()
        # Fine-tunes add tokens, and the embeddings' shape must be the file's.
        vocabulary = published_config(sources.folder("language")).get("vocab_size")
        if vocabulary is not None and "text" in sizes:
            sizes["text"]["vocab_size"] = vocabulary
        return sizes

    def build(self, parts: Mapping[str, Mapping[str, Any]]) -> Any:
        """The graph for these sizes, without weights."""
        raise NotImplementedError

    def convert(self, sources: Sources) -> Iterator[tuple[str, Any]]:
        """The graph's weights from the published files, one after another; the order must not change between runs."""
        return renamed_entries(sources, self.RULES, self.RULES)

    def tokenizer(self, sources: Sources) -> Any:
        """The tokenizer, from the files beside the language model's weights (the entry "language")."""
        from mmsb.convert.tokenizer import published_tokenizer

        return published_tokenizer(sources.folder("language"))

    def shapes(self, sources: Sources) -> dict[str, Any]:
        """The shape of every weight of the checkpoint: those of the graph, except tied ones."""
        from mmsb.model.composed.checkpoint import empty, missing

        shapes = {key: tensor.shape for key, tensor in empty(self, self.sizes(sources)).state_dict().items()}
        return {key: shapes[key] for key in missing(shapes, set(), self.MAY_MISS)}

    def describe(self, sources: Sources, folder: Path) -> None:
        """Write the configuration and the tokenizer beside converted weights."""
        config = {"mmsb_model": type(self).__name__, "parts": self.sizes(sources)}
        self.tokenizer(sources).save_pretrained(str(folder))
        write_atomically(folder / "config.json", json.dumps(config, indent=1) + "\n")

    def generating(self, net: Any, inputs: Inputs) -> AbstractContextManager[dict[str, Any]]:
        """Set up what one call of `generate` needs beyond embeddings and mask; gives further arguments for it."""
        return nullcontext({})

    def content(self) -> dict[str, object]:
        """Prompt format, ends and image fit."""
        return {
            "prompt": [self.prompt, self.text_prompt, self.system, self.bos],
            "stop": [list(self.stop), list(self.end_tokens), self.answer_after],
            "fit": [self.fit.how, list(self.fit.colour), self.fit.rounding],
        }

    def check(self) -> None:
        """Whether the checkpoint is there and fits.

        Raises:
            ModelError: it was not converted yet, or needs more memory than is free.
        """
        check_converted(self.name, self.name_or_path)
        super().check()

    def load(self) -> Loaded:
        """Load the converted checkpoint; every key and shape must match.

        Raises:
            ModelError: keys that do not match; says which.
        """
        from mmsb.model.composed.checkpoint import open_checkpoint

        loaded = open_checkpoint(self, Path(self.name_or_path).expanduser(), pick_device(self.device))
        loaded.net.language_model = adapted(loaded.net.language_model, self.adapter, self.name)
        return loaded

    def inputs(self, loaded: Loaded, batch: Sequence[Prompt]) -> Encoded:
        """Encode a batch."""
        # Decoded and fitted here, in the thread beside: the next batch's pictures take the CPU while this one is
        # answered.
        rows = tuple(row for row, prompt in enumerate(batch) if prompt.image is not None)
        images = [prompt.image for prompt in batch if prompt.image is not None]
        pictures = side_by_side(lambda image: image.load(), images)
        pixels = self.pixels(pictures, int(loaded.parts["vision"]["image_size"])) if pictures else None
        return Encoded([self.segments(loaded.tokenizer, prompt) for prompt in batch], pixels, rows)

    def run(self, loaded: Loaded, inputs: Encoded, seed: int) -> list[Response]:
        """Answer a batch."""
        import torch

        tokenizer = loaded.tokenizer
        torch.manual_seed(seed)
        with torch.inference_mode():
            embedded = self.embed(loaded, inputs)
            with known_penalty(), self.generating(loaded.net, embedded) as further:
                # Embeddings alone, without ids: `generate` then penalises only new tokens, as the authors' code does.
                settled = arguments(self.decoding, self.max_new_tokens, self.stop, tokenizer) | further
                output = loaded.net.language_model.generate(
                    inputs_embeds=embedded.embeds,
                    attention_mask=embedded.mask,
                    pad_token_id=tokenizer.pad_token_id,
                    eos_token_id=self._ends(tokenizer),
                    **settled,
                    **growing_cache(loaded.net.language_model, settled),
                )
        if "input_ids" in further:  # then `generate` gives the prompt back, too
            output = output[:, embedded.mask.shape[1] :]
        lengths = embedded.mask.sum(dim=1).tolist()
        return [
            response(tokenizer, ids, length, self.max_new_tokens, self.stop, self.answer_after)
            for ids, length in zip(output.tolist(), lengths, strict=True)
        ]

    def embed(self, loaded: Loaded, encoded: Encoded) -> Inputs:
        """Text and images of a batch as one padded sequence of embeddings; pictures are encoded in one go."""
        from mmsb.model.composed.sequence import assemble

        images = None
        if encoded.pixels is not None:
            embedding = loaded.net.language_model.get_input_embeddings().weight
            images = loaded.net.vision(encoded.pixels.to(embedding.device, embedding.dtype))
        return assemble(loaded.net, encoded.segments, images, encoded.rows)

    def pixels(self, pictures: Iterable[Image.Image], side: int) -> Any:
        """Pictures as normalised pixels [n, 3, side, side], float32."""
        import numpy as np
        import torch

        resample = Image.Resampling[self.RESAMPLE]
        # Once more to the side: a fit that leaves the picture as it is must still become the tower's square.
        squares = side_by_side(
            lambda picture: self.fit.apply(picture, side, resample).resize((side, side), resample), pictures
        )
        values = torch.from_numpy(np.stack([np.asarray(square, dtype="float32") for square in squares])) / 255
        return ((values - torch.tensor(self.MEAN)) / torch.tensor(self.STD)).permute(0, 3, 1, 2).contiguous()

    def segments(self, tokenizer: Any, prompt: Prompt) -> list[list[int]]:
        """Token ids of the text before, between and after the images. Special tokens in questions are defused."""
        specials = special_tokens(tokenizer)
        template = self.text_prompt if prompt.image is None else self.prompt
        # The prompt's words are defused, the template's are not: `</s>` in a question is four characters.
        system, question = (defused(text, specials) for text in (prompt.system or "", prompt.text))
        if system and SYSTEM not in template:
            question = f"{system}\n\n{question}"
        texts = [
            # Split first and the question filled in last: a question that holds "{image}" or "{system}" stays as it is.
            text.replace(SYSTEM, system or self.system).replace(QUESTION, question)
            for text in template.split(IMAGE)
        ]
        ids = [self.encode(tokenizer, text) for text in texts]
        return [[tokenizer.bos_token_id] * self.bos + ids[0], *ids[1:]]

    def encode(self, tokenizer: Any, text: str) -> list[int]:
        """Token ids of one segment, without a beginning token."""
        return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _ends(self, tokenizer: Any) -> list[int]:
        if not self.end_tokens:
            return [tokenizer.eos_token_id]
        return [int(tokenizer.convert_tokens_to_ids(token)) for token in self.end_tokens]
