"""What is installed: every package by its digest, at the version that is pinned, under a licence that allows it."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator

import yaml
from packaging.requirements import Requirement

from tests.conftest import ROOT
from tests.test_package import declared, normal

LOCKED = re.compile(r"^([\w.-]+)==([^\s;]+)((?:.*\\\n(?: {4}--hash=sha256:[0-9a-f]{64}.*\n?)+)?)", re.MULTILINE)
ALLOWED = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Zlib|MPL|Mozilla|HPND|CNRI|CC0|0BSD|Unlicense)\b"
)
SAID_ELSEWHERE = {"huey": "MIT", "skops": "MIT"}  # in their licence files alone


def lock() -> dict[str, tuple[str, int]]:
    """Version and number of digests of each locked package."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return {normal(name): (version, rest.count("--hash")) for name, version, rest in LOCKED.findall(text)}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {normal(name): version for name, version in pairs}


def test_everything_but_torch_is_locked_by_digest_at_the_version_that_is_pinned() -> None:
    locked, pinned = lock(), pins()
    assert min(count for _, count in locked.values()) > 0
    assert declared("dev") - set(locked) == {"torch"}, "make lock"
    assert {name for name in pinned if name in locked and locked[name][0] != pinned[name]} == set(), "make lock"
    assert set(pinned) - set(locked) == {"torch"}, "make lock"


def needed(name: str, seen: set[str]) -> Iterator[str]:
    """A package and all that it needs on this machine."""
    if name in seen:
        return
    seen.add(name)
    yield name
    for line in importlib.metadata.requires(name) or ():
        one = Requirement(line)
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            yield from needed(normal(one.name), seen)


def licence(name: str) -> str:
    about = importlib.metadata.metadata(name)
    # By get_all: whether a header that is not there is None or a KeyError depends on who read the metadata.
    classes = " ".join(one for one in about.get_all("Classifier", []) if one.startswith("License"))
    told = " ".join(one[:80] for key in ("License-Expression", "License") for one in about.get_all(key, []))
    return SAID_ELSEWHERE.get(name) or f"{told} {classes}"


def test_what_the_package_needs_has_a_licence_that_allows_it() -> None:
    names = [name for one in sorted(declared()) for name in needed(one, set())]
    said = {name: licence(name) for name in names}
    assert len(said) > 80
    assert {name: text for name, text in said.items() if not ALLOWED.search(text) or re.search(r"\bA?GPL", text)} == {}


def test_the_template_for_forks_runs_what_contributors_run() -> None:
    steps = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text(encoding="utf-8"))["jobs"]["check"]["steps"]
    commands = [step["run"].removeprefix("make ") for step in steps if "run" in step]
    made = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert commands == ["check", "sbom"]
    assert set(commands) <= set(made)
