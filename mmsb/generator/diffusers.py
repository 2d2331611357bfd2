"""Any text-to-image pipeline of diffusers, by hub id or folder: SDXL, SD 1.5, SDXL-Turbo, SD 3.5, FLUX, ...

Pictures are drawn in batches, with a random generator of its own for each picture: a picture does not depend on its
batch beyond rounding (at most one grey level in single pixels; more in half precision).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from mmsb.config import settings
from mmsb.digest import digest, digest_folder
from mmsb.errors import ConfigError, ModelError
from mmsb.generator.base import Batch, Drawn, Order
from mmsb.generator.replica import drawings
from mmsb.hub import use_cache_where_unreachable
from mmsb.model.device import out_of_memory, pick_device, release_memory
from mmsb.model.loaded import LOADED
from mmsb.progress import hush_loading_bars
from mmsb.types import Failure

Checker = Literal["none", "drop", "keep"]


@settings
class Diffusers:
    """A pipeline of diffusers.

    Attributes:
        name_or_path: a hub id, or a folder on disk.
        revision: the hub's commit to load; None: the newest one, whose commit is found out and recorded.
        variant: the weights' variant, such as fp16 (half the download).
        prompt: the wording, with {phrase} where the key phrase goes.
        negative_prompt: what the picture should not show, for pipelines that take one.
        width: of the pictures, in pixels; so `height`.
        steps: denoising steps.
        guidance: guidance scale.
        scheduler: a scheduler class of diffusers in place of the pipeline's own.
        seed: every picture's seed is made from it, its key phrase and its id.
        dtype: auto is bfloat16 on a GPU and float32 elsewhere.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        batch_size: pictures at a time; halved by itself where memory runs out.
        replicas: processes that each hold the whole pipeline, on a GPU of their own, through Ray; changes no picture.
        safety_checker: "none" for pipelines without one. SD 1.5 has one that turns pictures it dislikes black:
            "drop" draws without it, "keep" lists such pictures as failed.
        arguments: further arguments of the pipeline's call.
    """

    name_or_path: str
    revision: str | None = None
    variant: str | None = None
    prompt: str = "A photo of {phrase}"
    negative_prompt: str | None = None
    width: PositiveInt = 1024
    height: PositiveInt = 1024
    steps: PositiveInt = 50
    guidance: float = 5.0
    scheduler: str | None = None
    seed: int = 0
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    batch_size: PositiveInt = 4
    replicas: PositiveInt = 1
    safety_checker: Checker = "none"
    arguments: dict[str, Any] = Field(default_factory=dict)

    DRAWING: ClassVar[tuple[str, ...]] = (
        "variant", "negative_prompt", "width", "height", "steps", "guidance", "scheduler", "safety_checker",
        "arguments",
    )  # fmt: skip

    def fingerprint(self) -> dict[str, object]:
        """Weights, size, steps, guidance, scheduler, precision, safety checker."""
        folder = Path(self.name_or_path).expanduser()
        return {
            "engine": "diffusers",
            "weights": f"folder {digest_folder(folder)}" if folder.is_dir() else self._pinned(),
            "dtype": self._dtype(),
            **{name: getattr(self, name) for name in self.DRAWING},
        }

    def batches(self, orders: Sequence[Order]) -> list[Batch]:
        """Equal batches, in the dataset's order."""
        # By place alone: in half precision a picture depends on its batch, which a resumed command must make again.
        return [tuple(orders[start : start + self.batch_size]) for start in range(0, len(orders), self.batch_size)]

    def draw(self, batches: Iterable[Batch]) -> Iterator[Drawn]:
        """Draw batch after batch; the pipeline is loaded when the first one comes."""
        if self.replicas > 1:
            yield from drawings(self, batches)
            return
        for batch in batches:
            yield from self._with_back_off(self.opened(), batch)

    def opened(self) -> Any:
        """The pipeline in memory, loaded now if it is not."""
        # With the models': a picture generator and a target share what memory there is.
        return LOADED.get(digest(["diffusers", self.fingerprint(), self.device]), self.load)

    def load(self) -> Any:
        """Load the pipeline.

        Raises:
            ModelError: not found, or not a text-to-image pipeline.
            ConfigError: it has a safety checker and nobody said what to do with it, or there is no such scheduler.
        """
        import torch
        from diffusers import DiffusionPipeline

        use_cache_where_unreachable()
        hush_loading_bars("diffusers")
        # Both: with the first alone diffusers warns at every load.
        options = {"safety_checker": None, "requires_safety_checker": False} if self.safety_checker == "drop" else {}
        try:
            pipeline = DiffusionPipeline.from_pretrained(
                self.name_or_path,
                revision=None if Path(self.name_or_path).expanduser().is_dir() else self._pinned().rpartition("@")[2],
                variant=self.variant,
                dtype=getattr(torch, self._dtype()),
                **options,
            )
        except (OSError, ValueError) as error:
            raise ModelError(
                f"generator.name_or_path={self.name_or_path} cannot be loaded: {str(error).splitlines()[0]}",
                "Name a text-to-image pipeline of diffusers: a hub id and its generator.revision (null: newest), or "
                "the folder that holds model_index.json.",
            ) from error
        # Left in by oversight, it would put black pictures into the dataset.
        if self.safety_checker == "none" and getattr(pipeline, "safety_checker", None) is not None:
            raise ConfigError(
                f"{self.name_or_path} has a safety checker, which turns pictures it dislikes black",
                "Choose: generator.safety_checker=drop (draw without it) or keep (list such pictures as failed).",
            )
        if self.scheduler:
            pipeline.scheduler = _scheduler(self.scheduler).from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.to(pick_device(self.device))

    def _pinned(self) -> str:
        """The hub's name of the weights, with the commit."""
        return f"{self.name_or_path}@{self.revision or newest_commit(self.name_or_path)}"

    def _dtype(self) -> str:
        if self.dtype != "auto":
            return self.dtype
        return "bfloat16" if pick_device(self.device).startswith("cuda") else "float32"

    def _with_back_off(self, pipeline: Any, batch: Batch) -> Iterator[Drawn]:
        """Draw a batch; where memory runs out, halve it, down to one picture that fails."""
        try:
            yield from self._run(pipeline, batch)
            return
        except (RuntimeError, MemoryError) as error:
            if (short := out_of_memory(error)) is None:
                raise
            failure = Failure("out_of_memory", short)
        # Outside of the `except`, whose error keeps the failed batch's tensors alive.
        release_memory()
        if len(batch) == 1:
            yield batch[0], failure
            return
        middle = len(batch) // 2
        yield from self._with_back_off(pipeline, batch[:middle])
        yield from self._with_back_off(pipeline, batch[middle:])

    def _run(self, pipeline: Any, batch: Batch) -> list[Drawn]:
        import torch

        arguments = dict(self.arguments)
        if self.negative_prompt is not None:
            arguments["negative_prompt"] = [self.negative_prompt] * len(batch)
        result = pipeline(
            prompt=[order.prompt for order in batch],
            # On the CPU, so that a seed means the same picture on every device.
            generator=[torch.Generator("cpu").manual_seed(order.seed) for order in batch],
            width=self.width,
            height=self.height,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            output_type="pil",
            **arguments,
        )
        # The flag, since the picture itself comes back black and would pass for one.
        flagged = getattr(result, "nsfw_content_detected", None) or [False] * len(batch)
        refused = Failure("safety_checker", "the pipeline's safety checker blackened the picture")
        return [
            (order, refused if flag else image)
            for order, image, flag in zip(batch, result.images, flagged, strict=True)
        ]


@cache
def newest_commit(repository: str) -> str:
    """The commit that a hub repository's main branch names now; without a network the one in the hub's cache.

    Raises:
        ModelError: neither is to be had.
    """
    from huggingface_hub import constants, file_download, model_info
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        if sha := model_info(repository).sha:
            return str(sha)
    except (OSError, HfHubHTTPError, OfflineModeIsEnabled):
        pass
    # The commit goes into the fingerprint: without a network it is the one whose files will be loaded.
    cached = Path(constants.HF_HUB_CACHE) / file_download.repo_folder_name(repo_id=repository, repo_type="model")
    if (cached / "refs/main").is_file():
        return str((cached / "refs/main").read_text().strip())
    raise ModelError(
        f"the newest commit of {repository} cannot be found out: no network, and it is not in the hub's cache",
        "Name the commit: generator.revision=COMMIT, or a folder: generator.name_or_path=FOLDER.",
    )


def _scheduler(name: str) -> Any:
    import diffusers

    found = getattr(diffusers, name, None)
    if not isinstance(found, type) or not issubclass(found, diffusers.SchedulerMixin):
        raise ConfigError(
            f"generator.scheduler={name} is not a scheduler of diffusers",
            "Name a class such as EulerDiscreteScheduler, DPMSolverMultistepScheduler or DDIMScheduler.",
        )
    return found
