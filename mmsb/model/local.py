"""Models that run in this process, in batches: the batch plan, back-off and seeds they all share.

Answers in half precision depend on the batch they are computed in, so the plan is fixed: the whole list of
prompts, sorted by length, cut into batches of `batch_size`. The same command gives the same batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from mmsb.config import settings
from mmsb.digest import digest, digest_folder
from mmsb.errors import DataError, ModelError
from mmsb.model import replica, streams
from mmsb.model.adapter import check_adapter
from mmsb.model.base import Batch, Reply
from mmsb.model.card import Card
from mmsb.model.device import keep_memory, out_of_memory, pick_device, release_memory
from mmsb.model.loaded import LOADED
from mmsb.model.memory_check import check_memory
from mmsb.model.protocol import Protocol, decoding
from mmsb.model.sampling import check_local
from mmsb.model.usable import check_folder, check_generation, check_libraries
from mmsb.resolvers import AUTHORS
from mmsb.types import Failure, How, Prompt, Response

Dtype = Literal["float32", "bfloat16", "float16"]


@settings
class Local:
    """Settings that all local models share.

    Attributes:
        name: the name for tables.
        name_or_path: a hub id, or a folder on disk.
        revision: the hub revision (commit) to load.
        adapter: a folder with a LoRA fine-tune (peft) of this model.
        dtype: the type the weights run in. In float32 an answer does not depend on its batch.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        batch_size: prompts at a time; halved by itself where memory runs out.
        max_new_tokens: the longest answer, in tokens.
        protocol: whose way of asking is followed: "authors", "demo" (where declared) or "greedy".
        protocols: what the preset declares of each.
        generation: changes to the protocol's arguments of transformers' `generate` (do_sample, temperature, ...).
        seed: for sampling; each batch gets its own from it.
        repeats: how many times each prompt is asked; above 1 only with sampling.
        replicas: processes that each hold the whole model, on a GPU of their own, through Ray; changes no answer.
        threads: torch's threads on the CPU; None leaves it to torch. Tiny models are many times faster on one; where no
            answer depends on its batch, the other cores answer further parts of it (`mmsb/model/streams.py`).
        card: size, licence and what has been checked; changes no answer.
    """

    name: str
    name_or_path: str
    revision: str | None = None
    adapter: Path | None = None
    dtype: Dtype = "bfloat16"
    device: str = "auto"
    batch_size: PositiveInt = 16
    max_new_tokens: PositiveInt = 512
    protocol: str = AUTHORS
    protocols: dict[str, Protocol] = Field(default_factory=dict)
    generation: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    repeats: PositiveInt = 1
    replicas: PositiveInt = 1
    threads: PositiveInt | None = None
    card: Card | None = None

    SEES_REPLY: ClassVar[bool] = False  # whether a prompt may carry an answer already given
    CONTRASTS: ClassVar[bool] = False  # whether logits of two prompts can be combined (`How.without`)
    TWINS: ClassVar[bool] = False  # whether copies of its modules can answer side by side; not inherited
    # Not the decoding: two settings of one model share its weights.
    LOADING: ClassVar[tuple[str, ...]] = ("name_or_path", "revision", "adapter", "dtype", "device")

    def check(self) -> None:
        """Whether what the settings name is there, and can be used here; asked before anything heavy is done.

        Raises:
            ConfigError: its adapter is none, or `generate` has no such argument.
            ModelError: a folder without a checkpoint, a library that is missing, a device that is not there.
        """
        if folder := self.folder():
            check_folder(folder)
        if self.adapter:
            check_adapter(self.adapter)
        check_libraries(self)
        check_generation(self.generation)
        if self.device not in ("auto", "cpu"):  # which are always there; torch is slow to come
            pick_device(self.device)

    def __post_init__(self) -> None:
        """Refuse what would change nothing.

        Raises:
            ConfigError: repeats of one answer, settings of sampling or beams without these, or a protocol that is
                not declared.
        """
        check_local(self.decoding, self.repeats, self.seed)

    @property
    def decoding(self) -> dict[str, Any]:
        """The arguments of `generate`: those of the protocol, changed by `generation`; greedy where empty."""
        return decoding(self.protocol, self.protocols, self.generation)

    def load(self) -> Any:
        """Load what is heavy; kept in memory and shared by all settings that agree on `LOADING`.

        Raises:
            ModelError: weights that are missing, do not fit or do not match.
        """
        raise NotImplementedError

    def inputs(self, loaded: Any, batch: Sequence[Prompt]) -> Any:
        """Decode and encode a batch on the CPU, in a thread beside the one that answers.

        Raises:
            DataError: a picture cannot be decoded.
        """
        raise NotImplementedError

    def run(self, loaded: Any, inputs: Any, seed: int) -> list[Response]:
        """Answer a batch that `inputs` encoded, in its order. Out of memory surfaces as torch's own error."""
        raise NotImplementedError

    def run_as(self, loaded: Any, inputs: Any, seed: int, how: How) -> list[Response]:
        """Answer a batch as a guard is asked.

        Raises:
            ModelError: the model cannot be asked so.
        """
        raise ModelError(f"{self.name} cannot be asked as a guard is", "Use model@judge.model=text, hf or vllm.")

    def folder(self) -> Path | None:
        """The folder of weights on disk; None for a hub id.

        Raises:
            ModelError: the path is one on disk (it begins with "/", "." or "~") and is not there.
        """
        folder = Path(self.name_or_path).expanduser()
        if folder.is_dir():
            return folder
        # A mistyped folder would be asked for at the hub, whose error speaks of a repository.
        if self.name_or_path.startswith(("/", ".", "~")) or folder.is_file():
            raise ModelError(
                f"model.name_or_path={self.name_or_path}: there is no such folder",
                "Give the folder of a checkpoint, or a hub id such as HuggingFaceTB/SmolVLM2-256M-Video-Instruct.",
            )
        return None

    def content(self) -> dict[str, object]:
        """What determines the answers beyond the settings of `Local`, as JSON values."""
        return {}

    def fingerprint(self) -> dict[str, object]:
        """Weights, precision, generation settings, seed; the batch size where answers depend on it."""
        folder = self.folder()
        sampling = bool(self.decoding.get("do_sample"))
        return {
            "engine": type(self).__name__,
            "weights": digest_folder(folder) if folder else f"{self.name_or_path}@{self.revision or 'main'}",
            "dtype": self.dtype,
            "max_new_tokens": self.max_new_tokens,
            "generation": self.decoding,
            "seed": self.seed if sampling else None,
            # In float32 24 of 24 answers were the same alone and in a batch, in bfloat16 19: there the batch is part of
            # the model.
            "batch_size": self.batch_size if sampling or self.dtype != "float32" else None,
            # Only where there is one, so that answers without are found under the key they always had.
            **({"adapter": digest_folder(self.adapter)} if self.adapter else {}),
            **self.content(),
        }

    def batches(self, prompts: Iterable[Prompt]) -> Iterator[Batch]:
        """The batch plan: by length of text, ties by content, cut into equal batches.

        Prompts with and without an image never share a batch: some models take only the one or the other. Nor do
        prompts that are asked in different ways. One whose logits are set against another's is alone.
        """
        groups: dict[tuple[bool, str], list[Prompt]] = {}
        # By length, so that little is padded; ties by content, so that the order in which prompts came decides nothing.
        for prompt in sorted(prompts, key=_order):
            # Padding would shift the second text's positions, which the cache beside `generate` does not follow.
            alone = prompt.key if prompt.how and prompt.how.without is not None else ""
            groups.setdefault((prompt.image is not None, f"{prompt.how}{alone}"), []).append(prompt)
        # Sorted, since the order in which kinds of prompts first came would depend on what was left out. Texts first:
        # while they are answered, the first pictures are decoded.
        for _, group in sorted(groups.items()):
            for start in range(0, len(group), self.batch_size):
                yield tuple(group[start : start + self.batch_size])

    def generate(self, batches: Iterable[Batch]) -> Iterator[Reply]:
        """Answer batch after batch; the model is loaded when the first one comes."""
        possible = map(self._possible, batches)
        if self.replicas > 1:
            yield from replica.answers(self, possible)
            return
        yield from streams.answers(self, possible)

    def opened(self) -> Any:
        """The model in memory, loaded now if it is not."""
        return LOADED.get(self._load_key(), self._checked_load)

    def answered(self, loaded: Any, batch: Batch, inputs: Callable[[], Any], beside: int = 1) -> list[Reply]:
        """Answer one batch, in its order.

        Args:
            loaded: the model.
            batch: what is asked.
            inputs: waits for what `self.encoded` gave.
            beside: how many are answered at a time.
        """
        self.set_threads()
        started = time.monotonic()
        answered = list(self._with_back_off(loaded, batch, inputs, self._seed(batch)))
        # Nobody can say more: the batch is one computation.
        share = (time.monotonic() - started) / len(batch) / beside
        return [
            (prompt, replace(outcome, seconds=share) if isinstance(outcome, Response) else outcome)
            for prompt, outcome in answered
        ]

    def encoded(self, loaded: Any, batch: Sequence[Prompt]) -> Any:
        """The inputs of a batch; of prompts with a text to contrast, a pair: as they are, and with that text."""
        how = batch[0].how
        if how is None or how.without is None:
            return self.inputs(loaded, batch)
        plain = [replace(prompt, how=None) for prompt in batch]
        return self.inputs(loaded, plain), self.inputs(loaded, [replace(p, text=how.without) for p in plain])

    def _possible(self, batch: Batch) -> Batch:
        # Refused here, for all callers: a model that ignored it would answer undefended under the defense's name.
        if not self.CONTRASTS and any(prompt.how and prompt.how.without is not None for prompt in batch):
            raise ModelError(f"{self.name} cannot combine the logits of two prompts", "Leave out defense=coca.")
        if not self.SEES_REPLY and any(prompt.reply is not None or prompt.how for prompt in batch):
            raise ModelError(f"{self.name} cannot judge an exchange of two turns", "Use a chat model as the guard.")
        return batch

    def _checked_load(self) -> Any:
        if pick_device(self.device) == "cpu":
            keep_memory()
        self.check()
        check_memory(self)
        return self.load()

    def set_threads(self) -> None:
        """Have torch compute with `threads` in the thread that calls."""
        import torch

        if self.threads:
            # In each thread that computes, since OpenMP keeps the number by thread. On two, tiny models took 8 to 18
            # times as long as on one.
            torch.set_num_threads(self.threads)

    def _seed(self, batch: Batch) -> int:
        # Of the batch's content, not its number: a resumed run begins in the middle and draws the same.
        return int(digest([self.seed, [prompt.key for prompt in batch]])[:15], 16)

    def _load_key(self) -> str:
        # With the class: two of them may load one folder into different graphs.
        return digest([type(self).__name__, [str(getattr(self, name)) for name in self.LOADING]])

    def _with_back_off(
        self, loaded: Any, batch: Sequence[Prompt], inputs: Callable[[], Any], seed: int
    ) -> Iterator[Reply]:
        """Answer a batch; where memory runs out or a picture is broken, halve it, down to one that fails."""
        try:
            how = batch[0].how
            answers = self.run_as(loaded, inputs(), seed, how) if how else self.run(loaded, inputs(), seed)
            yield from zip(batch, answers, strict=True)
            return
        except (RuntimeError, ValueError, MemoryError) as error:
            if (short := out_of_memory(error)) is None:
                raise
            failure = Failure("out_of_memory", short)
        except DataError as error:
            failure = Failure("unreadable_image", error.problem)
        # Outside of the `except`: the error's trace keeps the tensors of the failed batch alive until it is let go.
        release_memory()
        if len(batch) == 1:
            yield batch[0], failure
            return
        middle = len(batch) // 2
        # With the whole batch's seed: where memory runs out again, the same halves draw the same.
        for half in (batch[:middle], batch[middle:]):
            yield from self._with_back_off(loaded, half, partial(self.encoded, loaded, half), seed)


def _order(prompt: Prompt) -> tuple[int, str]:
    return len(prompt.text) + len(prompt.system or ""), prompt.key
