"""Models before they are asked: weights on disk or within reach, a key."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from omegaconf import DictConfig, OmegaConf

from mmsb.errors import ConfigError, MmsbError, ModelError
from mmsb.judge.official import WHERE
from mmsb.model.denoised import Denoised
from mmsb.model.local import Local
from mmsb.model.memory_check import GB
from mmsb.model.openai import OPENAI_URL
from mmsb.model.text import Text
from mmsb.preflight.disk import free_bytes
from mmsb.secret import VARIABLE

HUB_SECONDS = 10.0  # for one question to the hub


def weights(engine: Local, preset: str | None) -> MmsbError | None:
    """What keeps a local model's weights from being loaded: they are not there, nor can they be had."""
    try:
        folder = engine.folder()
    except ModelError as error:
        return error
    if hasattr(engine, "source"):  # composed: `mmsb.convert` makes its folder
        if folder and (folder / "config.json").is_file():
            return None
        command = f"python -m mmsb.convert model={preset} download=true" if preset else "python -m mmsb.convert --help"
        return ModelError(f"{engine.name} has no converted checkpoint at {engine.name_or_path}", f"Make it: {command}")
    found = None if folder else _on_the_hub(engine)
    if found is None and isinstance(
        engine, Denoised
    ):  # two models in one, and the second may be the one that is missing
        return weights(Text(name=engine.name, name_or_path=engine.denoiser, revision=engine.denoiser_revision), None)
    return found


def _on_the_hub(engine: Local) -> MmsbError | None:
    """Whether a hub id is in the cache, or can be fetched and has room there."""
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    name = engine.name_or_path
    try:
        # Its config.json stands for the model: whoever fetched that fetched the rest, or is told by strict loading.
        if isinstance(try_to_load_from_cache(name, "config.json", revision=engine.revision), str):
            return None
    except ValueError as error:  # not the form of a hub id
        return ModelError(f"{name} is neither a folder nor a hub id: {error}", "Set model.name_or_path to either.")
    fetch = f"Where there is a network: hf download {name}, then copy the folder here: model.name_or_path=FOLDER"
    if constants.HF_HUB_OFFLINE:
        problem = f"{name} is no folder and not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it"
        return ModelError(problem, f"{fetch}, or take HF_HUB_OFFLINE out of the environment.")
    try:
        HfApi().model_info(name, revision=engine.revision, timeout=HUB_SECONDS)
    except GatedRepoError:
        return ModelError(f"{name} is gated", f"Agree to its terms at https://huggingface.co/{name} and set HF_TOKEN.")
    except (RepositoryNotFoundError, RevisionNotFoundError):
        wanted = f"{name}@{engine.revision}" if engine.revision else name
        return ModelError(f"the hub has no {wanted}, or it is private", "Check model.name_or_path, or set HF_TOKEN.")
    except Exception as error:  # of the client, its transport or the system: it is not to be had now
        return ModelError(f"{name} is not in the hub's cache, and the hub cannot be reached: {error}", f"{fetch}.")
    return _room(engine, Path(constants.HF_HUB_CACHE))


def _room(engine: Local, cache: Path) -> MmsbError | None:
    size, there = (engine.card and engine.card.size_gb) or 0.0, free_bytes(cache) / GB
    if size <= there:
        return None
    problem = f"the weights of {engine.name} take {size:g} GB, and {cache} has {there:.1f} GB free"
    return ModelError(problem, "Free space, or set HF_HOME to a folder on another disk.")


def keys(config: DictConfig) -> Iterator[MmsbError]:
    """Keys that endpoints beyond this machine want and the environment lacks; read from a configuration as it is.

    A judge whose name is not chosen yet cannot be built, but the key that it will want is known.
    """
    for node in _mappings(OmegaConf.to_container(config, resolve=False)):
        variable = node.get("api_key_env")
        # What is no variable's name is told where the model is built.
        if not isinstance(variable, str) or not VARIABLE.fullmatch(variable) or os.environ.get(variable, "").strip():
            continue
        places = node.get("base_url") or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        place = str(places[0] if isinstance(places, list) else places)
        if urlsplit(place).scheme == "https":
            yield ConfigError(
                f"{place} wants a key, and the environment variable {variable} is not set",
                f"export {variable}=...  (api_key_env=null for an endpoint that needs none)",
            )


def files(config: DictConfig) -> Iterator[MmsbError]:
    """The authors' file, where it is named and not there: also of a judge that lacks another value."""
    for node in _mappings(OmegaConf.to_container(config, resolve=False)):
        file = node.get("evaluation_file")
        if isinstance(file, str) and file != "???" and not Path(file).expanduser().is_file():
            yield ConfigError(f"judge.evaluation_file={file}: there is no such file", f"{WHERE}")


def _mappings(node: object) -> Iterator[Mapping[str, object]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _mappings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _mappings(value)
