"""Published files: fetched from the hub where they are there, known by their digests from their first use on.

    checkpoints/sources/digests.json
    {"vicuna-7b-v0": {"repository": "Vision-CAIR/vicuna-7b", "revision": "0ac5.", "files": {"config.json": "9f3b..."}}}

The commit that a branch names at the first download is kept: later downloads are of the same. An entry without `files`
is a download that did not end; the same command goes on with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mmsb.convert.source import RECORD, Files, Source, read_record, sha256
from mmsb.digest import write_atomically
from mmsb.errors import ModelError

NOT_NEEDED = ("*.msgpack", "*.h5", "*.ot", "*.onnx", "*.tflite", "*/*")  # of other frameworks, and folders of extras


def download(files: Files) -> list[str]:
    """Fetch the entries that are on the hub and not here yet, resuming what was broken off.

    Returns:
        What a person must fetch by hand: a line for each, with the place where it goes.

    Raises:
        ModelError: the hub does not give a file.
    """
    by_hand = []
    for entry in files.missing():
        source = files.source[entry]
        if source.hub is None:
            by_hand.append(f"{source.origin} -> {files.path(entry)} (licence: {source.licence})")
        else:
            fetch(files, entry, source, source.hub)
    return by_hand


def fetch(files: Files, entry: str, source: Source, repository: str) -> None:
    """Fetch one entry, file by file, all of one commit."""
    import httpx2
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    record = read_record(files.root)
    # a branch that moved between two downloads would mix weights of two releases
    pinned = source.revision or record.get(source.path, {}).get("revision")
    place = files.path(entry)
    try:
        found = HfApi().model_info(repository, revision=pinned)
        commit = str(found.sha)
        # before the first file: an interrupted download is known as one, and goes on at the same commit
        _note(files.root, source.path, {"repository": repository, "revision": commit})
        names = [source.path] if source.is_file else wanted((s.rfilename for s in found.siblings or ()), source.files)
        for name in names:
            print(f"{repository}@{commit[:12]}: {name}")
            folder = place.parent if source.is_file else place
            # One after another and by name: a client that fetches whole repositories brings the same weights in three
            # formats.
            hf_hub_download(repository, name, revision=commit, local_dir=str(folder))
    except (HfHubHTTPError, httpx2.HTTPError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{repository} cannot be had from the hub: {reason}",
            f"Gated ones want their terms accepted at {source.origin.split(' ')[0]} and HF_TOKEN in the environment; "
            f"without a network put it into {place}. The same command goes on where it stopped.",
        ) from error
    settle(files, entry)


def wanted(names: Iterable[str], patterns: tuple[str, ...]) -> list[str]:
    """Which files of a repository a checkpoint needs: one kind of weights, its configuration, its tokenizer."""
    kept = [name for name in names if not any(fnmatch(name, pattern) for pattern in NOT_NEEDED)]
    if patterns:
        return [name for name in kept if any(fnmatch(name, pattern) for pattern in patterns)]
    # the same weights twice otherwise; safetensors runs no code when it is opened
    if any(name.endswith(".safetensors") for name in kept):
        kept = [name for name in kept if not name.endswith((".bin", ".bin.index.json"))]
    return kept


def settle(files: Files, entry: str) -> None:
    """Note an entry's digests at its first use; hold it against them ever after.

    Raises:
        ModelError: a file is not what it was, or has gone.
    """
    source = files.source[entry]
    known = read_record(files.root).get(source.path, {})
    now = digests(files.path(entry))
    # Trust at first use: no publisher names digests of most of these files, but they must not change under a
    # conversion.
    if "files" not in known:
        _note(files.root, source.path, {**known, "files": now})
    elif wrong := sorted(name for name in known["files"] if now.get(name) != known["files"][name]):
        raise ModelError(
            f"{files.path(entry)} is not what it was at its first use: {', '.join(wrong[:5])}",
            f"Fetch it again; if the change is meant, take {source.path} out of {files.root / RECORD}.",
        )


def digests(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of every file of a folder, by name."""
    if path.is_file():
        return {path.name: sha256(path)}
    # the hub's client keeps its own notes below .cache, which change with every download
    found = (file for file in sorted(path.rglob("*")) if file.is_file() and ".cache" not in file.parts)
    return {file.relative_to(path).as_posix(): sha256(file) for file in found}


def _note(root: Path, path: str, value: dict[str, Any]) -> None:
    record = read_record(root) | {path: value}
    write_atomically(root / RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")
