"""A fork is a process like any other, to the test and to itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.forks import Fork, python

LOOK = """
import json, os, sys, threading
told = [os.getpid(), os.getcwd(), sys.argv, os.environ["OWN"], sys.path[1], __name__, threading.active_count()]
print(json.dumps(told))
print("on the other", file=sys.stderr)
sys.exit(7)
"""


def test_pid_folder_arguments_environment_files_and_end_are_its_own(tmp_path: Path) -> None:
    environment = {**os.environ, "OWN": "value", "PYTHONPATH": "/nowhere"}
    with Fork(["-c", LOOK, "one", "two words"], tmp_path, environment) as process:
        assert process.wait(60) == process.poll() == 7
    pid, *told = json.loads(process.out)
    assert pid == process.pid != os.getpid()
    assert told == [str(tmp_path), ["-c", "one", "two words"], "value", str(Path(__file__).parents[1]), "__main__", 1]
    assert process.err == "on the other\n"


def test_one_that_was_begun_by_a_pythons_name_ends_as_it_would(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import sys\nprint(sys.executable, sys.argv)\nsys.exit(5)")
    command = [python(), "-X", "utf8", str(tmp_path / "own.py"), "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (5, f"{python()} {[str(tmp_path / 'own.py'), 'x']}\n"), done.stderr
    killed = subprocess.run([python(), "-u", "-c", "import os\nos.kill(os.getpid(), 9)"], check=False)
    assert killed.returncode == -signal.SIGKILL
    told = "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(3))\nprint('here', flush=True)\n"
    with subprocess.Popen([python(), "-c", f"{told}time.sleep(600)"], stdout=subprocess.PIPE) as asked:
        assert asked.stdout
        assert asked.stdout.readline() == b"here\n"
        asked.terminate()
        assert asked.wait(60) == 3


def test_it_can_be_killed_and_ends_when_nobody_waits_for_it() -> None:
    sleeper = ["-c", "print('here', flush=True)\nimport time\ntime.sleep(600)"]
    with Fork(sleeper) as process:
        with pytest.raises(TimeoutError):
            process.wait(0)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    # As if the test's own process had been killed.
    asker = Fork(
        [
            "-c",
            f"from tests.forks import Fork\nimport os\nprint(Fork({sleeper!r}).pid, flush=True)\nos._exit(0)",
        ]
    )
    assert asker.wait(60) == 0
    left = [psutil.Process(int(asker.out))] if psutil.pid_exists(int(asker.out)) else []
    assert psutil.wait_procs(left, 60)[1] == []


def test_a_module_runs_as_its_command_does_and_what_imports_have_read_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import sys\nprint(sys.argv, __name__, sys.modules['__main__'].__file__)")
    with Fork(["-m", "own", "x"], tmp_path) as process:
        assert process.wait(60) == 0, process.err
    assert process.out == f"{[str(tmp_path / 'own.py'), 'x']} __main__ {tmp_path / 'own.py'}\n"
    with Fork(["-c", "pass"], env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}) as refused:
        assert refused.wait(60) == 1
    assert "HF_ENDPOINT" in refused.err
