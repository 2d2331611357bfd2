"""What a server's log says went wrong, and what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

TAIL = 200_000  # bytes of a log that are read
SHOWN = 300  # characters of a line
KNOWN = (  # what servers print (or what torch and transformers print through them), and the way on
    (
        r"Free memory on device .* is less than",
        "Another program holds memory of that GPU (`nvidia-smi` tells which): end it, or give this one other GPUs "
        "(CUDA_VISIBLE_DEVICES).",
    ),
    (
        r"out of memory|OutOfMemoryError|No available memory for the cache blocks|KV cache is needed|Not enough memory",
        "It does not fit: server.tensor_parallel=2 (more GPUs a copy), or shorter contexts, such as "
        "'server.arguments=[--max-model-len,8192]' for vLLM.",
    ),
    (
        r"does not recognize this architecture|architectures .* (are|is) not supported|Unsupported architectures",
        "Install a newer version of the server, or take a model that it lists as supported.",
    ),
    (
        r"gated repo|Cannot access gated|401 Client Error|403 Client Error",
        "Accept the licence on the model's page, and set HF_TOKEN.",
    ),
    (
        r"Repository Not Found|is not a valid model identifier|is not a local folder",
        "Check the name: a hub id, or a folder.",
    ),
    (r"[Aa]ddress already in use", "Another program took the port meanwhile: run the same command again."),
    (r"unrecognized arguments|No such option", "Check server.arguments against the server's own --help."),
    (r"No module named", "Install the server in the environment that its command starts in."),
)
ERRORS = (  # an exception before what a logger calls an error: each line of a stack trace is one to it
    re.compile(r"\b\w*(Error|Exception): "),
    re.compile(r"\b\w*(Error|Exception)\b|^error|ERROR"),
)
ELSEWHERE = re.compile(r"[Ss]ee (root cause|stack trace)|EngineDeadError|already dead")  # the cause is further up


def last_line(log: Path) -> str:
    """The last line that says something; "" where there is none."""
    return _shown(next((line for line in reversed(_lines(log)) if line.strip()), ""))


def explained(log: Path) -> tuple[str, str]:
    """The line that says best what went wrong, and what to do ("" where nothing is known)."""
    lines = _lines(log)
    # Known causes before the last error: servers go on printing consequences long after what brought them down.
    for pattern, remedy in KNOWN:
        if found := next((line for line in reversed(lines) if re.search(pattern, line)), None):
            return _shown(found), remedy
    own = [line for line in reversed(lines) if not ELSEWHERE.search(line)]
    for kind in ERRORS:
        if found := next((line for line in own if kind.search(line)), None):
            return _shown(found), ""
    return last_line(log), ""


def _lines(log: Path) -> list[str]:
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        # Also at \r: a progress bar rewrites one line, and its last state is what counts.
        return re.split(r"[\r\n]+", file.read().decode("utf-8", "replace"))


def _shown(line: str) -> str:
    """One line for the terminal: no control characters, not endless."""
    return "".join(char if char.isprintable() else " " for char in line).strip()[:SHOWN]
