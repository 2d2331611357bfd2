"""Completion as a person at a bash meets it: Tab, in a real terminal."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator

import pexpect
import pytest

from tests.conftest import ROOT

TAB, CLEAR, READY = "\t", "\x15", "ready> "


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pexpect.spawn]:
    """A bash without anybody's settings, in which the line of docs/command_line.md was typed."""
    here = tmp_path_factory.mktemp("shell")
    (here / "my_folder").mkdir()
    (here / "bin").mkdir()
    for name, arguments in (("mmsb", "-m mmsb "), ("python", "")):
        (here / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
        (here / "bin" / name).chmod(0o755)
    (here / "inputrc").write_text("set enable-bracketed-paste off\nset bell-style none\n")
    ours = {"PYTHONPATH": str(ROOT), "PATH": f"{here / 'bin'}:{os.environ['PATH']}", "INPUTRC": str(here / "inputrc")}
    bash = shutil.which("bash")
    assert bash
    started = pexpect.spawn(
        bash,
        ["--norc", "--noprofile", "-i"],
        cwd=str(here),
        env={**os.environ, **ours, "PS1": READY},
        encoding="utf-8",
        timeout=60,
        dimensions=(40, 120),
    )
    said = re.search(r"^eval .*install=bash.*$", (ROOT / "docs/command_line.md").read_text("utf-8"), re.MULTILINE)
    assert said
    enter(started, said[0])
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
    shell.expect(r"\r\ntext_only +typo")
    enter(shell, f"{CLEAR}:")


def test_files_and_other_programs_are_completed_as_before(shell: pexpect.spawn) -> None:
    completed(shell, "python -m mmsb dataset=mm_safetybench dataset.root=my_f", "dataset.root=my_folder/")
    completed(shell, "python my_f", "python my_folder/")
