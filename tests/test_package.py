"""The package from outside: its face, and that what it imports is declared."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import mmsb
from tests.conftest import ROOT

# Run in environments of their own: the authors' code, and what draws mutants.
APART = (ROOT / "tools/originals", ROOT / "tests/mutants/draw.py", ROOT / "tests/proof/fuzz.py")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BY_NAME_ONLY = {"sentencepiece", "protobuf", "tiktoken", "matplotlib"}  # of models' files, of the font


def imported(folder: str) -> dict[str, Path]:
    """Every top-level module that the files of a folder import, with one file that does."""
    found: dict[str, Path] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        if any(map(path.is_relative_to, APART)):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in names(node):
                found.setdefault(name.partition(".")[0], path)
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names}


def names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module


def declared(*extras: str) -> set[str]:
    wanted = [*PROJECT["dependencies"], *(one for extra in extras for one in PROJECT["optional-dependencies"][extra])]
    return {normal(re.split(r"[<>=!\[; ]", one)[0]) for one in wanted}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def installed() -> Mapping[str, list[str]]:
    """The distributions of each module; every file of all of them is listed for it."""
    return packages_distributions()


def distributions(modules: dict[str, Path]) -> dict[str, set[str]]:
    known = installed()
    ours = {"mmsb", "tests", "tools", "benchmarks", "my_defenses", "my_judges"}  # the last two: of a guide's reader
    return {name: {normal(one) for one in known.get(name, [name])} for name in modules if name not in ours}


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("mmsb", ("lora", "quantized", "ray")),
        ("tools", ("dev",)),
        ("benchmarks", ("dev",)),
        ("tests", ("dev", "local")),
    ],
)
def test_what_is_imported_is_declared(folder: str, extras: tuple[str, ...]) -> None:
    undeclared = {name for name, homes in distributions(imported(folder)).items() if not homes & declared(*extras)}
    assert undeclared == set()


def test_what_is_declared_is_imported() -> None:
    used = {one for homes in distributions(imported("mmsb")).values() for one in homes}
    assert declared() - used - BY_NAME_ONLY == set()


def test_the_face_holds_what_it_names_and_loads_nothing_by_itself() -> None:
    assert all(getattr(mmsb, name) is not None for name in mmsb.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mmsb.nothing  # noqa: B018
    command = "import sys, mmsb; print([m for m in ('hydra', 'pydantic', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_is_typed_and_every_pin_satisfies_what_is_declared() -> None:
    assert (ROOT / "mmsb/py.typed").is_file()
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(line.partition("==")[0]) for line in lines if "==" in line}
    assert declared("dev") <= pinned
