"""The line that says how far a step is: it fits, on a real terminal and in a log."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import strategies as st

from mmsb.progress import Progress, track
from tests.conftest import ROOT

STEP = """
import time
from mmsb.progress import track
def items():
    for number in range(8):
        time.sleep(0.1)
        yield number
label, more = "sd_typo safety_prompt a_long_judge another", ["ASR 41.0 %", "2 failed"]
for item in track(items(), label, 8, "[3/12]", lambda: more):
    pass
print("the end")
"""
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.parametrize("width", [40, 80, 110])
def test_a_real_terminal_shows_it_on_one_line(width: int) -> None:
    shown = at_a_terminal(STEP, width, "xterm")
    lines = [line for line in re.split(r"[\r\n]+", CONTROL.sub("", shown)) if line.strip()]
    assert lines[-1] == "the end"
    assert any(line.startswith("[3/12] sd_typo") and "8/8" in line for line in lines)
    assert max(map(len, lines)) < width
    assert (" 2 failed" in shown) == (width > 40)


def test_a_terminal_that_cannot_redraw_has_plain_lines() -> None:
    step = STEP.replace("def items", "import mmsb.progress\nmmsb.progress.EVERY = 0.2\ndef items")
    shown = at_a_terminal(step, 80, "dumb")
    assert "\x1b" not in shown
    assert shown.count("[3/12] sd_typo") >= 2
    assert shown.endswith("the end\r\n")


def at_a_terminal(step: str, width: int, kind: str) -> str:
    """What a program shows at a terminal of this width, of this `TERM`."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"} | {"TERM": kind}
    process = subprocess.Popen([sys.executable, "-c", step], stdout=theirs, stderr=theirs, env=environment, cwd=ROOT)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            break
        if not part:
            break
        shown += part
    assert process.wait() == 0
    return shown.decode()


def test_a_log_has_a_plain_line_a_minute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("mmsb.progress.EVERY", 0.1)

    def items() -> Iterator[int]:
        yield from range(3)
        time.sleep(0.35)  # nothing comes, and the lines do
        yield from range(3, 7)

    assert list(track(items(), "sd", 7, more=lambda: ["$0.12"])) == list(range(7))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert set(lines) == {"sd 3/7  $0.12  42 %"}


@hypothesis.given(
    width=st.integers(24, 200),
    label=st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=80),
    total=st.none() | st.integers(1, 10**7),
    more=st.lists(st.sampled_from(["ASR 41.0 %", "12 failed", "$1,234.56"]), unique=True),
)
def test_it_fits_any_width_and_counts(width: int, label: str, total: int | None, more: list[str]) -> None:
    step = Progress(label, total, "[3/12]", lambda: more, done=(total or 5) // 2)
    line = step.line(width, 0.0)
    assert len(line) <= width
    assert f"{step.done:,}" in line
    wide = step.line(400, 0.0)
    assert all(part in wide for part in (label, *more))
