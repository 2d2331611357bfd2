"""Completion as a person at a shell meets it: Tab, in a real terminal. Fish tells without one what Tab would give."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.conftest import ROOT
from tests.forks import python

TAB, CLEAR, READY = "\t", "\x15", "ready> "


SHELLS = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder in it, and with commands of this very code."""
    folder = tmp_path_factory.mktemp("shell")
    (folder / "my_folder").mkdir()
    (folder / "bin").mkdir()
    for name, arguments in (("mmsb", "-m mmsb "), ("python", "")):
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec {python()} {arguments}"$@"\n')
        (folder / "bin" / name).chmod(0o755)
    subprocess.run([python(), "-c", "pass"], check=True)  # their parent may only begin with it
    (folder / "inputrc").write_text("set enable-bracketed-paste off\nset bell-style none\n")
    return folder


def found(name: str) -> str:
    """The shell, which not every machine has."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no {name} here")
    return path


def environment(here: Path) -> dict[str, str]:
    ours = {"PYTHONPATH": str(ROOT), "PATH": f"{here / 'bin'}:{os.environ['PATH']}", "INPUTRC": str(here / "inputrc")}
    return {**os.environ, **ours, "HOME": str(here), "TERM": "dumb", "PS1": READY}


def installing(name: str) -> str:
    """The line of docs/command_line.md."""
    text = (ROOT / "docs/command_line.md").read_text("utf-8")
    said = re.search(rf"^[^#\n]*install={name}[^#\n]*", text, re.MULTILINE)
    assert said
    return said[0].strip()


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, here: Path) -> Iterator[pexpect.spawn]:
    """A shell without anybody's settings, in which the line of docs/command_line.md was typed."""
    started = pexpect.spawn(
        found(request.param),
        SHELLS[request.param],
        cwd=str(here),
        env=environment(here),
        encoding="utf-8",
        timeout=60,
        dimensions=(40, 120),
    )
    enter(started, f"PS1='{READY}'; unset zle_bracketed_paste")
    enter(started, installing(request.param))
    yield started
    started.close(force=True)


def enter(shell: pexpect.spawn, line: str) -> None:
    """Type a line and wait until it is done: prompts alone may be drawn more than once."""
    shell.sendline(f"{line}; echo done-$((40 + 2))")
    shell.expect_exact("done-42")
    shell.expect_exact(READY)


def completed(shell: pexpect.spawn, typed: str, wanted: str) -> None:
    """Type and press Tab; the line must read so."""
    shell.send(typed + TAB)
    shell.expect_exact(wanted)
    enter(shell, f"{CLEAR}:")


def test_options_and_settings_are_completed(shell: pexpect.spawn) -> None:
    completed(shell, "python -m mmsb defense=safety_prompt_", "defense=safety_prompt_short")
    completed(shell, "mmsb model=openai model.api", "model.api_key_env=")
    completed(shell, "python -m mmsb.judge judge=wildg", "judge=wildguard")


def test_several_choices_are_listed_without_their_key(shell: pexpect.spawn) -> None:
    shell.send("python -m mmsb image_mode=t" + TAB + TAB)
    shell.expect(r"\n(image_mode=)?text_only +(image_mode=)?typo")
    enter(shell, f"{CLEAR}:")


def test_files_and_other_programs_are_completed_as_before(shell: pexpect.spawn) -> None:
    completed(shell, "python -m mmsb dataset=mm_safetybench dataset.root=my_f", "dataset.root=my_folder/")
    completed(shell, "python my_f", "python my_folder/")


def test_fish_completes_the_same(here: Path) -> None:
    asked = (
        "python -m mmsb defense=safety_prompt_",
        "mmsb model=openai model.api",
        "python my_f",
        "mmsb output_dir=my_f",
    )
    script = "; ".join([installing("fish"), *(f"complete -C '{typed}'" for typed in asked)])
    done = subprocess.run(
        [found("fish"), "--no-config", "-c", script],
        cwd=here,
        env=environment(here),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    words = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert words == ["defense=safety_prompt_short", "model.api_key_env=", "my_folder/", "output_dir=my_folder/"]
