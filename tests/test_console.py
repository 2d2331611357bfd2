"""What is printed for people: no text of a server, a file or a model commands the terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsb.console import say, show, visible
from mmsb.errors import ModelError

HOSTILE = {
    "colours and titles": "\x1b[31mred\x1b]0;title\x07",
    "the line is written anew": "harmless\rrm -rf",
    "letters are taken back": "a\b\b\x7f",
    "C1 controls": "\x9b31m",
    "right to left": "\u202eexe.txt\u2066",
    "half a character": "\ud83d",
    "other line ends": "a\u2028b\u2029c",
    "nothing": "\0",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_a_server_says_is_spelled_out(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(text)
    show(ModelError(f"the server said {text}", f"ask who runs it {text}"))
    printed = capsys.readouterr().err
    assert not [letter for letter in printed if letter != "\n" and not letter.isprintable()]
    assert printed.count("\n") == 3
    assert "\\" in printed


@given(st.text(st.characters(codec=None)))
def test_only_line_ends_and_tabs_keep_their_power_and_nothing_else_changes(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(letter) for letter in shown if letter not in "\n\t"} & {
        "Cc",
        "Cf",
        "Cs",
        "Zl",
        "Zp",
    }
    if text.isprintable():
        assert shown == text
