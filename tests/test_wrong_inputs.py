"""Wrong inputs, as people type them: each gets an error that names the value and the way out, and no stack trace."""

from __future__ import annotations

import runpy
import shlex
import sys
from pathlib import Path

import pytest

from mmsb.__main__ import main
from tests.wrong_inputs import FILES, WRONG


def test_there_are_enough() -> None:
    assert len({command for command, _ in WRONG}) == len(WRONG) >= 120


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # of runpy, in place of a fresh process
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(("command", "said"), WRONG, ids=[command for command, _ in WRONG])
def test_a_wrong_input_is_told(
    command: str,
    said: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_classes", raising=False)  # another folder's
    monkeypatch.setenv("OPENAI_API_KEY", "of-a-test")  # else that is missing too, and is told beside it
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    module, *arguments = shlex.split(command)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(SystemExit) as ended:
        sys.exit(main()) if module == "mmsb" else runpy.run_module(module, run_name="__main__")
    printed = capsys.readouterr()
    assert ended.value.code == 1
    assert "error: " in printed.err
    assert "try: " in printed.err or "things keep" in printed.err  # of several things, each has its remedy below it
    assert "Traceback" not in printed.err
    assert [word for word in said if word not in printed.err] == []
