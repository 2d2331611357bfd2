"""The Hugging Face hub: whether it can be reached, asked once, before a library would try for minutes."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from mmsb.errors import ModelError

PATIENCE = 5.0  # seconds for a connection
PROXIES = ("https_proxy", "http_proxy", "all_proxy")


def check_at_hand(key: str, name: str, revision: str | None = None) -> None:
    """See that a model is in a folder here, or that the hub can be asked for it.

    Where the hub cannot be reached, what its cache holds is used without asking.

    Raises:
        ModelError: neither.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    folder = Path(name).expanduser()
    if folder.is_dir() or constants.HF_HUB_OFFLINE:  # offline by wish: the library says at once what it lacks
        return
    # A hub id has one slash at most; anything else that looks like a path is a folder that was mistyped, and the hub's
    # own error would speak of repository names.
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise ModelError(f"{key}={name}: there is no such folder", "Give a folder on disk, or a hub id: OWNER/NAME.")
    if use_cache_where_unreachable():
        return
    if not isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
        raise ModelError(
            f"{key}={name} is no folder here, and {constants.ENDPOINT} cannot be reached to ask for it",
            f"Where there is a network: hf download {name} --local-dir FOLDER; copy FOLDER here, and set {key}=FOLDER.",
        )


def use_cache_where_unreachable() -> bool:
    """Whether the hub can be reached; where it cannot, its library is told to look into its cache only.

    It would otherwise ask about every file, five times each with growing pauses.
    """
    from huggingface_hub import constants

    found = reachable(constants.ENDPOINT)
    constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE or not found
    return found


@cache
def reachable(endpoint: str) -> bool:
    """Whether anything listens at the hub's address. Behind a proxy nobody can know: it is taken to be there."""
    if any(os.environ.get(name) or os.environ.get(name.upper()) for name in PROXIES):
        return True
    parts = urlsplit(endpoint)
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        # A connection alone, no request: whether the network lets one through is what takes minutes to find out
        # otherwise.
        socket.create_connection((parts.hostname or "", port), PATIENCE).close()
    except OSError:
        return False
    return True
