"""How alike a text and a picture are, and how that changes while the picture is denoised. For defense=cider.

The two encoders of a multimodal model give an embedding each; their cosine is taken for the picture as it comes, and
for each of several denoised copies. The answer is JSON, the diffusion step against the cosine, 0 being the picture:

    {"0": 0.0312, "50": 0.0288, "100": 0.0271}

Source: CIDER (arXiv 2407.21659; github.com/PandragonXIII/CIDER at 3c08d7e2, code/utils.py and
code/models/diffusion_denoiser/imagenet/DRM.py).
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image
from pydantic import PositiveInt

from mmsb.config import settings
from mmsb.digest import digest, digest_folder
from mmsb.errors import ModelError
from mmsb.hub import check_at_hand
from mmsb.model.device import pick_device
from mmsb.model.local import Local
from mmsb.picture import decode
from mmsb.progress import hush_loading_bars
from mmsb.types import Prompt, Response

QUALITY = 75  # of the JPEG through which every picture reaches the encoder there: Pillow's default
DIGITS = 6


@dataclass(frozen=True)
class Loaded:
    """The encoders with what prepares their inputs, and the denoiser with its schedule of noise."""

    encoder: Any
    tokenizer: Any
    images: Any
    unet: Any
    schedule: Any


@dataclass(frozen=True)
class Pair:
    """A text as token ids, a picture [side, side, 3] of bytes, and the seed of the noise that is put on it."""

    tokens: Any
    pixels: Any
    seed: int


@settings
class Denoised(Local):
    """The encoders of a LLaVA, as published, or of a CLIP, and an unconditional diffusion model of pictures.

    Attributes:
        denoiser: an unconditional pipeline of diffusers (UNet2DModel): a hub id, or a folder on disk.
        denoiser_revision: the hub revision (commit) to load.
        side: pixels of the square that pictures are squashed to, for encoder and denoiser.
        step: diffusion steps from one denoised copy to the next.
        copies: how many are made.
    """

    denoiser: str
    denoiser_revision: str | None = None
    side: PositiveInt = 224
    step: PositiveInt = 50
    copies: PositiveInt = 7

    LOADING: ClassVar[tuple[str, ...]] = (*Local.LOADING, "denoiser", "denoiser_revision")

    def content(self) -> dict[str, object]:
        """The denoiser, the size of pictures and the steps."""
        folder = Path(self.denoiser).expanduser()
        named = f"{self.denoiser}@{self.denoiser_revision or 'main'}"
        return {
            "denoiser": digest_folder(folder) if folder.is_dir() else named,
            "side": self.side,
            "steps": list(self.steps),
        }

    @property
    def steps(self) -> range:
        """The diffusion steps from which a picture is recovered, the least noisy first."""
        return range(self.step, self.step * self.copies + 1, self.step)

    def load(self) -> Loaded:
        """Load both models.

        Raises:
            ModelError: not found, no encoders of text and pictures, or no unconditional model of pictures.
        """
        unet, schedule = self._denoiser()
        encoder, tokenizer, images = self._encoder()
        return Loaded(encoder, tokenizer, images, unet, schedule)

    def _encoder(self) -> tuple[Any, Any, Any]:
        import torch
        import transformers

        check_at_hand(f"{self.name}: name_or_path", self.name_or_path, self.revision)
        hub = {"revision": self.revision}
        try:
            config = transformers.AutoConfig.from_pretrained(self.name_or_path, **hub)
            kind = (
                transformers.LlavaForConditionalGeneration if config.model_type == "llava" else transformers.AutoModel
            )
            encoder = kind.from_pretrained(self.name_or_path, dtype=self.dtype, **hub).eval()
            tokenizer = transformers.AutoTokenizer.from_pretrained(self.name_or_path, **hub)
            # PIL's: torchvision's pixels differ by up to 0.03, and what is compared here are small differences.
            images = transformers.AutoImageProcessor.from_pretrained(self.name_or_path, backend="pil", **hub)
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise ModelError(
                f"{self.name}: {self.name_or_path} cannot be loaded: {str(error).strip().splitlines()[0]}", ENCODERS
            ) from error
        if config.model_type == "llava":
            # Nothing is generated: the layers between the embeddings and the answer are all but a gigabyte of the 14.
            encoder.model.language_model.layers = torch.nn.ModuleList()
        elif not hasattr(encoder, "get_text_features"):
            raise ModelError(f"{self.name}: {self.name_or_path} has no encoders of text and pictures", ENCODERS)
        return encoder.to(pick_device(self.device)), tokenizer, images

    def _denoiser(self) -> tuple[Any, Any]:
        from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

        check_at_hand(f"{self.name}: denoiser", self.denoiser, self.denoiser_revision)
        hush_loading_bars("diffusers")
        try:
            pipeline = DDPMPipeline.from_pretrained(self.denoiser, revision=self.denoiser_revision)
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(
                f"{self.name}: denoiser={self.denoiser} cannot be loaded: {str(error).strip().splitlines()[0]}", UNETS
            ) from error
        if not isinstance(pipeline.unet, UNet2DModel):
            raise ModelError(f"{self.name}: denoiser={self.denoiser} draws from words, or no pictures", UNETS)
        # A DDIM schedule leaves out steps: the step that a picture is recovered from would not be the one named.
        schedule = DDPMScheduler.from_config(pipeline.scheduler.config)
        if self.steps[-1] >= len(schedule.betas):
            raise ModelError(
                f"{self.name}: step {self.steps[-1]} is beyond the {len(schedule.betas)} of {self.denoiser}"
            )
        return pipeline.unet.eval().to(pick_device(self.device)), schedule

    def inputs(self, loaded: Loaded, batch: Sequence[Prompt]) -> list[Pair]:
        """Tokens, pixels and seed of each prompt.

        Raises:
            ModelError: a prompt has no picture.
            DataError: a picture cannot be decoded.
        """
        return [self._pair(loaded, prompt) for prompt in batch]

    def _pair(self, loaded: Loaded, prompt: Prompt) -> Pair:
        import numpy as np

        if prompt.image is None:
            raise ModelError(f"{self.name} compares a text with a picture, and there is none")
        squashed = prompt.image.load().convert("RGB").resize((self.side, self.side), Image.Resampling.BILINEAR)
        # CLIP reads 77 tokens; of a longer text it is shown the beginning.
        tokens = loaded.tokenizer(prompt.text, truncation=True, return_tensors="pt")["input_ids"]
        # The picture's own noise: neither its neighbours in the batch nor the order of a run decide what is refused.
        seed = int(digest([self.seed, prompt.image.identity])[:15], 16)
        return Pair(tokens, np.asarray(squashed), seed)

    def run(self, loaded: Loaded, inputs: list[Pair], seed: int) -> list[Response]:
        """The cosines of each pair.

        Raises:
            ModelError: one is no number, as where half precision is too small for the embeddings.
        """
        import torch

        with torch.inference_mode():
            return [self._answer(loaded, pair) for pair in inputs]

    def _answer(self, loaded: Loaded, pair: Pair) -> Response:
        import torch

        pictures = [pair.pixels, *self._recovered(loaded, pair)]
        shown = embedded_pictures(loaded, [through_jpeg(pixels) for pixels in pictures])
        said = embedded_text(loaded, pair.tokens.to(loaded.encoder.device))
        cosines = torch.nn.functional.cosine_similarity(shown.double(), said.double()).tolist()
        # A comparison with what is no number is false: the picture would pass as if nothing had changed.
        if not all(map(math.isfinite, cosines)):
            raise ModelError(f"{self.name}: an embedding is not finite in {self.dtype}", "Set its dtype=float32.")
        names = map(str, (0, *self.steps))
        return Response(json.dumps({name: round(value, DIGITS) for name, value in zip(names, cosines, strict=True)}))

    def _recovered(self, loaded: Loaded, pair: Pair) -> Any:
        """Pictures [copies, side, side, 3] of bytes: noise of each step is put on, and taken off at one look."""
        import torch

        clean = torch.from_numpy(pair.pixels.copy()).permute(2, 0, 1).float() / 255 * 2 - 1
        clean = clean.expand(self.copies, -1, -1, -1)
        chance = torch.Generator("cpu").manual_seed(pair.seed)  # the same noise on every device
        steps = torch.tensor(list(self.steps))
        noisy = loaded.schedule.add_noise(clean, torch.randn(clean.shape, generator=chance), steps)
        # On the CPU from here on: the schedule's tables lie there.
        guessed = loaded.unet(noisy.to(loaded.unet.device), steps.to(loaded.unet.device)).sample.float().cpu()
        recover = starmap(loaded.schedule.step, zip(guessed.split(1), self.steps, noisy.split(1), strict=True))
        taken = torch.cat([step.pred_original_sample for step in recover])
        return ((taken + 1) / 2 * 255).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


ENCODERS = "Give a LLaVA (llava-hf/llava-1.5-7b-hf, as published) or a CLIP: a hub id or a folder."
UNETS = "Give an unconditional pipeline of diffusers, such as google/ddpm-ema-church-256: a hub id or a folder."


def through_jpeg(pixels: Any) -> Image.Image:
    """The picture as it reads back from a JPEG file, as there."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return decode(buffer.getvalue(), "a denoised picture")


def embedded_pictures(loaded: Loaded, pictures: Sequence[Image.Image]) -> Any:
    """Embeddings [pictures, width]: of a LLaVA the mean over its image tokens, of a CLIP its projected summary."""
    import torch

    encoder = loaded.encoder
    pixels = loaded.images(list(pictures), return_tensors="pt")["pixel_values"]
    features = encoder.get_image_features(pixels.to(encoder.device, encoder.dtype)).pooler_output
    if hasattr(encoder, "get_text_features"):
        return features
    return torch.stack([tokens.float().mean(dim=0) for tokens in features])


def embedded_text(loaded: Loaded, tokens: Any) -> Any:
    """The embedding [1, width]: of a LLaVA the mean of its words' input embeddings, of a CLIP its projected summary."""
    encoder = loaded.encoder
    if hasattr(encoder, "get_text_features"):
        return encoder.get_text_features(input_ids=tokens).pooler_output
    return encoder.get_input_embeddings()(tokens).float().mean(dim=1)
