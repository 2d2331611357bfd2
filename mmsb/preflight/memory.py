"""Room in memory for the local models of a run: their weights, and what a batch takes beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from mmsb.errors import MmsbError, ModelError
from mmsb.model.base import Engine
from mmsb.model.batch_memory import shape
from mmsb.model.loaded import KEPT_LOADED
from mmsb.model.local import Local
from mmsb.model.memory_check import GB, free, needed, options
from mmsb.preflight.lines import Line
from mmsb.replicas.cluster import ADDRESS

HERE = ("BasicLauncher", "JoblibLauncher", "LocalLauncher")  # launchers whose runs see this machine's memory


def here(launcher: str) -> bool:
    """Whether the runs of a launcher (its class) start on this machine, and nowhere else."""
    return launcher.endswith(HERE)


def weights_fit(engines: Sequence[Engine], launcher: str) -> MmsbError | None:
    """Whether the local models of a run fit together where they will be: a target and its judge stay loaded.

    What runs on another machine (a launcher's) is looked at there, when it is loaded.
    """
    try:
        sizes = _sizes(engines)
    except ModelError as error:
        return error
    if not sizes or not here(launcher) or sizes[0][0] < GB:  # what is small always fits, and torch is slow
        return None
    available, place = free(sizes[0][1])
    total = sum(size for size, _ in sizes)
    if total <= available:
        return None
    named = " and ".join(f"{engine.name} ({size / GB:.1f} GB)" for size, engine in sizes)
    return ModelError(
        f"the weights of {named} do not fit: {available / GB:.1f} GB of {place} are free",
        ", ".join(options(sizes[0][1], place)) + ".",
    )


def _sizes(engines: Sequence[Engine]) -> list[tuple[float, Local]]:
    # The replicas of a cluster that is joined load on its nodes, which may have what this machine has not.
    joined = bool(os.environ.get(ADDRESS))
    loaded = (engine for engine in engines if isinstance(engine, Local) and not (joined and engine.replicas > 1))
    local = {repr(engine): engine for engine in loaded}.values()
    return sorted(((needed(engine) or 0.0, engine) for engine in local), key=lambda pair: -pair[0])[:KEPT_LOADED]


def told(line: Line) -> Iterator[str]:
    """What one model takes: its weights, and the largest of its batches."""
    engine = line.engine
    if not isinstance(engine, Local) or (sizes := shape(engine)) is None:
        return
    weights, prompt = needed(engine), line.longest_prompt
    held = f"{_size(weights)} of weights and " if weights else ""
    batch = _size(sizes.bytes(engine, prompt, engine.batch_size))
    length = f"{prompt:,.0f} tokens in, {engine.max_new_tokens:,} out"
    yield f"  memory: {engine.name} {held}about {batch} for {engine.batch_size} prompts at a time ({length} each)"


def batches_fit(engines: Sequence[Engine], launcher: str, lines: Mapping[str, Line]) -> Iterator[str | MmsbError]:
    """Whether what a run asks fits beside its weights: a batch that does not is halved, one prompt cannot be.

    Args:
        engines: of the run.
        launcher: the class that starts it.
        lines: what each model is asked, by the `repr` of the engine.
    """
    sizes = _sizes(engines)
    total = sum(size for size, _ in sizes)
    if not here(launcher):
        return
    for _, engine in sizes:
        line, kept = lines.get(repr(engine)), shape(engine)
        if line is None or kept is None:
            continue
        one = kept.bytes(engine, line.longest_prompt, 1)
        if total + one * engine.batch_size < GB:
            continue
        available, place = free(engine)
        rows = int((available - total) // one)
        if rows < 1:
            yield ModelError(
                f"{engine.name} needs {_size(total)} for the weights and {_size(one)} for one prompt of "
                f"{line.longest_prompt:,.0f} tokens and its answer; {_size(available)} of {place} are free",
                ", ".join([f"model.max_new_tokens={engine.max_new_tokens // 2}", *options(engine, place)]) + ".",
            )
        elif rows < engine.batch_size:
            yield (
                f"{engine.name}: about {rows} prompts at a time fit into the {_size(available)} of {place} that are "
                f"free; batches of {engine.batch_size} are halved where memory runs out (batch_size={rows} spares that)"
            )


def _size(count: float) -> str:
    return f"{count / GB:.1f} GB" if count >= GB / 10 else f"{count / 1e6:.0f} MB"
