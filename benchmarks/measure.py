"""Commands measured from outside, in processes of their own, and the table of what came out."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("openai", "httpx2", "orjson", "pillow", "torch", "transformers")


@dataclass(frozen=True)
class Figure:
    """One measured number; `wanted` is the bound it is held to, e.g. ">= 0.7"."""

    what: str
    value: float
    unit: str
    wanted: str = ""

    @property
    def met(self) -> bool:
        """Whether the number keeps its bound."""
        if not self.wanted:
            return True
        sign, bound = self.wanted.split()
        return self.value >= float(bound) if sign == ">=" else self.value <= float(bound)


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        seconds: of the clock.
        cpu_seconds: of the processor, for all its processes together.
        own_cpu_seconds: likewise, without those that outlive it (a judge's processes).
        megabytes: of memory, at its peak, for the command itself.
        output: what it printed.
    """

    seconds: float
    cpu_seconds: float
    own_cpu_seconds: float
    megabytes: float
    output: str


def run(command: Sequence[str], folder: Path, expect: int = 0, python: str = sys.executable) -> Cost:
    """Run a command of this Python (`-m ...`) or another one in `folder` and measure it.

    Raises:
        RuntimeError: it ended with another code than expected.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # who uses a program has it compiled once, not each time
    output, took = folder / "output.txt", folder / "took.json"
    with output.open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.child", str(took), python, *command],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=True,
        )
    text, found = output.read_text(errors="replace"), json.loads(took.read_text())
    if (code := found.pop("code")) != expect:
        raise RuntimeError(f"{' '.join(command)} ended with {code}:\n{text[-2000:]}")
    return Cost(**found, output=text)


def show(figures: Iterable[Figure]) -> bool:
    """Print the figures as a Markdown table, as they come, and how many keep their bounds; whether all do."""
    print(f"{machine()}, load {_load()}\n\n| figure | measured | wanted | |\n| --- | ---: | --- | --- |", flush=True)
    held = []
    for figure in figures:
        verdict = "" if not figure.wanted else "met" if figure.met else "MISSED"
        value = f"{figure.value:,.4g} {figure.unit}".strip()
        print(f"| {figure.what} | {value} | {figure.wanted} | {verdict} |", flush=True)
        held += [figure.met] if figure.wanted else []
    print(f"\n{sum(held)} of {len(held)} bounds are met; load at the end {_load()}", flush=True)
    return all(held)


def _load() -> str:
    """Of the machine, on average over the last minute: above its cores, the clock says little."""
    return f"{os.getloadavg()[0]:.1f}"


def machine() -> str:
    """Processor, cores, Python and packages, in one line."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
