"""What a command says fits the terminal: broken between words, and never where somebody copies a command."""

from __future__ import annotations

import os
import pty
import shlex
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from mmsb.console import say, tell
from mmsb.layout import broken, fitted
from mmsb.paths import PACKAGE
from mmsb.terminal import print_table
from mmsb.usage import usage

COMMANDS = sorted(path.stem for path in (PACKAGE / "help").glob("*.txt"))


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_the_terminal_and_loses_no_word(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = usage(name, None, [])
    assert max(map(len, text.splitlines())) <= columns
    monkeypatch.setenv("COLUMNS", "1000")
    assert [word for word in text.split() if word != "\\"] == usage(name, None, []).split()


def test_help_as_it_is_written_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    for path in (PACKAGE / "help").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert max(map(len, text.splitlines())) <= 120, path
        if "$" not in text:
            assert usage(path.stem, None, []) == text.rstrip()


def test_a_command_of_help_that_is_broken_can_be_copied() -> None:
    text = (
        "  python -m mmsb model=openai model.name=NAME image_mode=typo   one endpoint\n  python -m mmsb   the sandbox\n"
    )
    lines = fitted(text, 40).splitlines()
    assert lines[:3] == [
        "  python -m mmsb model=openai \\",
        "    model.name=NAME image_mode=typo",
        "      one endpoint",
    ]
    assert shlex.split(lines[0][:-1] + lines[1]) == text.splitlines()[0].split()[:6]


def test_names_keep_their_column() -> None:
    text = "  judge    who decides whether an answer is safe\n           refusal, rubric\n  tracker  where runs go\n"
    assert fitted(text, 30).splitlines() == [
        "  judge    who decides whether",
        "           an answer is safe",
        "           refusal, rubric",
        "  tracker  where runs go",
    ]


def test_words_are_broken_between_words_and_commands_are_not() -> None:
    said = "plan: 8 runs, 832 samples\n  supposed: 250 tokens an answer\n  try: python -m mmsb.report runs=outputs/DATE"
    assert broken(said, 28).splitlines() == [
        "plan: 8 runs, 832 samples",
        "  supposed: 250 tokens an",
        "  answer",
        "  try: python -m mmsb.report runs=outputs/DATE",
    ]


def test_a_table_that_is_too_wide_loses_nothing_and_breaks_no_interval(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("scenario", title="T", caption="c")
    table.add_column("change [95 %]", justify="right")
    table.add_column("no label", justify="right")
    table.add_row("Government Decision (policy)", "-28.4 [-37.1, -19.8]", "3", end_section=True)
    table.add_row("All", "1.0 [0.5, 1.5]", "12")
    print_table(table, Console(width=36))
    narrow = capsys.readouterr().out
    assert "…" not in narrow
    assert max(map(len, narrow.splitlines())) <= 36
    for whole in ("[-37.1, -19.8]", "[95 %]"):
        assert whole in narrow
    columns = zip(*(line.split("│") for line in narrow.splitlines() if line.startswith("│")), strict=True)
    assert "GovernmentDecision(policy)All" in ["".join("".join(column).split()) for column in columns]
    print_table(table, Console(width=100))
    assert "-28.4 [-37.1, -19.8] │" in capsys.readouterr().out


@pytest.mark.parametrize("print_", [say, tell])
def test_only_a_terminal_has_lines_broken_for_it(
    print_: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(print_)
    monkeypatch.setenv("COLUMNS", "30")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, (tmp_path / "log").open("w+") as log:
        for stream in (terminal, log):
            monkeypatch.setattr("sys.stdout", stream)
            monkeypatch.setattr("sys.stderr", stream)
            print_("a sentence that is longer than thirty letters\x1b[31m")
        log.seek(0)
        assert log.read() == "a sentence that is longer than thirty letters\\x1b[31m\n"
        shown = os.read(ours, 1000).decode()
    os.close(ours)
    assert shown.split() == ["a", "sentence", "that", "is", "longer", "than", "thirty", "letters\\x1b[31m"]
    assert max(map(len, shown.splitlines())) <= 30
