"""`model.serve=true` with a server that none of us wrote, on a checkpoint of a few thousand weights."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import httpx2
import psutil  # type: ignore[import-untyped]
import pytest

from mmsb.serve import log_errors, running
from mmsb.serve.running import Running, stop_all
from mmsb.serve.settings import Server
from tests.conftest import Run
from tests.forks import Fork, python


def command(folder: Path, *more: str) -> list[str]:
    asked = ["dataset.limit=1", "scenario=[fraud,legal_opinion]", "tracker=none", "model.max_tokens=8"]
    return ["model=transformers_serve", f"model.name={folder}", "model.serve=true", *asked, *more]


def servers(folder: Path) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if str(folder) in (one.info["cmdline"] or ())]


def test_one_server_is_started_for_a_whole_sweep_and_stopped(
    mmsb: Run, tmp_path: Path, small_llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    script = f'#!/bin/sh\nexec {python()} -c "from transformers.cli.transformers import main; main()" "$@"\n'
    (tmp_path / "bin/transformers").write_text(script)
    (tmp_path / "bin/transformers").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    device = "model.server.arguments=[--device,cpu]"
    done = mmsb(*command(small_llava, device, "image_mode=text_only,sd_typo", "-m"))
    try:
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("serve: ready after") == 1
        for path in tmp_path.rglob("results.jsonl"):
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            assert [row["outcome"] for row in rows] == ["answered"] * 2
            assert all(row["output_tokens"] for row in rows)
        assert len(list(tmp_path.rglob("results.jsonl"))) == 2
        assert len(servers(small_llava)) == 2  # with its keeper: kept for what this process may run next
    finally:
        stop_all()
    assert servers(small_llava) == []
    again = mmsb(*command(small_llava, device, "image_mode=text_only"))  # another port, the same answers
    assert "Nothing was asked" in again.stderr
    assert "serve:" not in again.stderr


def test_a_killed_command_leaves_no_server(tmp_path: Path, fake: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "leaves").touch()
    environment = {**os.environ, "PATH": f"{fake}{os.pathsep}{os.environ['PATH']}"}
    with Fork(["-m", "mmsb", *command(tmp_path / "weights", "image_mode=text_only")], tmp_path, environment) as begun:
        until(lambda: len(servers(tmp_path / "weights")) == 3)  # the keeper, the server, and what that began
        begun.kill()
    until(lambda: not servers(tmp_path / "weights"))


def until(true: object, seconds: float = 60) -> None:
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """Programs named like servers that note how they were called, and then do what files in the test's folder say.

    Without any they never get ready.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    script = (
        f"#!{sys.executable} -S\nimport os, signal, subprocess, sys, time\n"
        f"if os.path.exists({str(tmp_path / 'deaf')!r}):\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(tmp_path / 'called')!r}, 'w').write('\\n'.join([sys.argv[0], *sys.argv[1:]]))\n"
        f"open({str(tmp_path / 'host')!r}, 'w').write(os.environ.get('OLLAMA_HOST', ''))\n"
        f"if os.path.exists({str(tmp_path / 'says')!r}):\n"
        f"    print(open({str(tmp_path / 'says')!r}).read())\n    sys.exit(1)\n"
        f"if os.path.exists({str(tmp_path / 'dies')!r}):\n"
        f"    whose = open({str(tmp_path / 'dies')!r}).read()\n"
        "    print('loading shard 3 of 4', flush=True)\n"
        "    os.kill(os.getppid() if whose == 'keeper' else os.getpid(), signal.SIGKILL)\n"
        f"if os.path.exists({str(tmp_path / 'leaves')!r}):\n"
        "    begun = [sys.executable, '-c', 'import time; time.sleep(600)', *sys.argv]\n"
        "    subprocess.Popen(begun, start_new_session=True)\n"
        f"if os.path.exists({str(tmp_path / 'breaks')!r}):\n"
        "    from http.server import BaseHTTPRequestHandler, HTTPServer\n"
        "    class Once(BaseHTTPRequestHandler):\n"
        "        def do_GET(self):\n            self.send_response(200)\n            self.end_headers()\n"
        "        def do_POST(self):\n            os._exit(1)\n"
        "    place = ('127.0.0.1', int(sys.argv[sys.argv.index('--port') + 1]))\n"
        "    HTTPServer(place, Once).serve_forever()\n"
        "time.sleep(600)\n"
    )
    for name in ("vllm", "python", "ollama", "transformers"):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        (
            "vllm",
            "serve some/model --host 127.0.0.1 --port PORT --tensor-parallel-size 2 --data-parallel-size 4 -x 819",
        ),
        ("sglang", "-m sglang.launch_server --model-path some/model --host 127.0.0.1 --port PORT --tp 2 --dp 4 -x 819"),
        ("ollama", "serve -x 819"),
    ],
)
def test_each_server_is_started_as_it_documents(
    mmsb: Run, tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch, preset: str, expected: str
) -> None:
    monkeypatch.setenv("PATH", str(fake), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7")
    (tmp_path / "says").write_text("loading\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\nbye")
    copies = [] if preset == "ollama" else ["model.server.tensor_parallel=2"]
    done = mmsb(
        f"model={preset}",
        "model.name=some/model",
        "model.serve=true",
        "model.server.arguments=[-x,819]",
        *copies,
        "dataset.limit=1",
        "tracker=none",
    )
    assert done.returncode == 1
    assert "CUDA out of memory. Tried to allocate 2 GiB" in done.stderr
    assert "server.tensor_parallel=2" in done.stderr
    assert done.stderr.count("error:") == 1
    called = (tmp_path / "called").read_text().splitlines()[1:]
    ports = re.findall(r"\d{4,5}", " ".join([*called, ""]) + (tmp_path / "host").read_text())
    assert " ".join(called).replace(ports[0], "PORT") == expected
    assert (tmp_path / "host").read_text() == (f"127.0.0.1:{ports[0]}" if preset == "ollama" else "")


@pytest.mark.parametrize("killed", ["server", "keeper"])
def test_a_server_that_was_killed_is_told_as_killed(
    mmsb: Run, tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    monkeypatch.setenv("PATH", str(fake), prepend=os.pathsep)
    (tmp_path / "dies").write_text(killed)
    done = mmsb("model=vllm", f"model.name=of/{killed}", "model.serve=true", "dataset.limit=1", "tracker=none")
    assert done.returncode == 1
    assert f"vllm serve of/{killed} was killed (SIGKILL): loading shard 3 of 4" in done.stderr
    assert "for want of memory" in done.stderr


def test_a_server_that_breaks_under_a_run_is_started_again_by_the_next(
    tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fake), prepend=os.pathsep)
    (tmp_path / "breaks").touch()
    place = ("--host", "{host}", "--port", "{port}")
    one = Running(Server(command=("vllm", "serve", "{name}"), address=place, logs=tmp_path), "x")
    asyncio.run(one.start())
    with suppress(httpx2.HTTPError):
        httpx2.post(f"{one.url}/chat/completions")
    until(lambda: one.dead() is not None)
    died = one.dead()
    assert died is not None
    assert died.problem.startswith("vllm serve x ended by itself (exit code 1)")
    assert "the same command starts it again, and goes on" in died.remedy
    asyncio.run(one.start())
    assert one.dead() is None
    one.stop()


@pytest.mark.parametrize(
    ("log", "line", "remedy"),
    [
        (
            "ERROR [core.py:632] RuntimeError: CUDA error: no kernel image is available for execution on the device\n"
            "ERROR [core.py:632] CUDA kernel errors might be asynchronously reported at some other API call\n"
            "ERROR [core.py:632] Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
            "(APIServer) RuntimeError: Engine core initialization failed. See root cause above. Failed core",
            "RuntimeError: CUDA error: no kernel image is available",
            "",
        ),
        (
            "ERROR [core.py:515] ValueError: Free memory on device (31.4/47.4 GiB) on startup is less than desired GPU "
            "memory utilization (0.9, 42.6 GiB). Decrease GPU memory utilization or reduce GPU memory used by other "
            "processes.\nRuntimeError: Engine core initialization failed. See root cause above.",
            "ValueError: Free memory on device",
            "nvidia-smi",
        ),
        (
            "[scheduler] torch.AcceleratorError: CUDA error: an illegal memory access was encountered\n"
            "ERROR [async_llm.py:420] EngineDeadError: EngineCore encountered an issue. See stack trace (above)\n"
            "INFO: Shutting down\n",
            "illegal memory access",
            "",
        ),
    ],
)
def test_the_cause_is_read_and_not_what_follows_from_it(tmp_path: Path, log: str, line: str, remedy: str) -> None:
    (tmp_path / "server.log").write_text("INFO: loading\n" + log)
    found = log_errors.explained(tmp_path / "server.log")
    assert line in found[0]
    assert remedy in found[1]
    assert bool(remedy) == bool(found[1])


def test_who_waits_for_a_servers_end_is_told_and_may_stop_waiting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "A_WHILE", 0.05)
    slow = Running(Server(command=("slow",)), "")
    slow._keeper = subprocess.Popen(["sleep", "0.3"], stdin=subprocess.PIPE)
    slow.stop()
    assert "slow is told to end, and is ended within 10 s" in capsys.readouterr().err

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_running", {"": SimpleNamespace(stop=interrupted)})
    stop_all()  # all was said by then: a stack trace would be the last thing that is seen


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_does_not_wait_for_a_server_that_takes_its_time(
    tmp_path: Path, fake: Path, sent: signal.Signals
) -> None:
    (tmp_path / "deaf").touch()
    asked = ["model=vllm", "model.name=some/model", "model.serve=true", "dataset.limit=1", "tracker=none"]
    environment = {**os.environ, "PATH": f"{fake}{os.pathsep}{os.environ['PATH']}"}
    with Fork(["-m", "mmsb", *asked], tmp_path, environment) as begun:
        until((tmp_path / "called").exists)
        begun.send_signal(sent)
        assert begun.wait(60) == 130
    assert "vllm serve some/model is told to end, and is ended within 10 s" in begun.err
    left = [one for one in servers(Path("some/model")) if str(tmp_path) in " ".join(one.info["cmdline"])]
    assert len(left) == 2  # the server and its keeper: ten seconds later they would be gone
    for one in left:  # or a pipe that reads this command's output would not end before them
        assert Path(f"/proc/{one.pid}/fd/1").readlink().suffix == ".log"
    for one in left:
        one.kill()


def test_a_program_that_is_missing_is_told_with_the_way_to_get_it(
    mmsb: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = mmsb("model=vllm", "model.name=x", "model.serve=true", "dataset.limit=1", "tracker=none")
    assert done.returncode == 1
    assert "model.serve=true starts vllm serve x, which is not there" in done.stderr
    assert "Install vLLM" in done.stderr
    assert not (tmp_path / "outputs").exists()  # found before anything is begun


def test_a_model_that_needs_more_gpus_than_a_run_sees_is_told_once_before_anything_is_begun(
    mmsb: Run, tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fake), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    wide = ["model=vllm", "model.name=x", "model.serve=true", "model.server.tensor_parallel=3"]
    done = mmsb(*wide, "image_mode=sd,typo", "dataset.limit=1", "tracker=none", "-m")
    assert done.returncode == 1
    assert done.stderr.count("server.tensor_parallel=3, but a run sees 2 GPUs") == 1
    assert not (tmp_path / "outputs").exists()


def test_a_server_that_does_not_get_ready_is_stopped(
    mmsb: Run, tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fake), prepend=os.pathsep)
    done = mmsb(
        "model=vllm", "model.name=slow", "model.serve=true", "model.server.within=1", "dataset.limit=1", "tracker=none"
    )
    assert "vllm serve slow is not ready after 1 s" in done.stderr
    assert not [one for one in psutil.process_iter(["cmdline"]) if "slow" in (one.info["cmdline"] or ())]
