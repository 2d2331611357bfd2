"""`model.serve=true` with a server that none of us wrote, on a checkpoint of a few thousand weights."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from mmsb.serve.running import stop_all
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
    environment = {**os.environ, "PATH": f"{fake}{os.pathsep}{os.environ['PATH']}"}
    with Fork(["-m", "mmsb", *command(tmp_path / "weights", "image_mode=text_only")], tmp_path, environment) as begun:
        until(lambda: len(servers(tmp_path / "weights")) == 2)  # the keeper and the server
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
    """Programs named like servers that note how they were called, say their lines and end, or never get ready."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = (
        f"#!{sys.executable}\nimport os, signal, sys, time\n"
        f"if os.path.exists({str(tmp_path / 'deaf')!r}):\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(tmp_path / 'called')!r}, 'w').write('\\n'.join([sys.argv[0], *sys.argv[1:]]))\n"
        f"open({str(tmp_path / 'host')!r}, 'w').write(os.environ.get('OLLAMA_HOST', ''))\n"
        f"if os.path.exists({str(tmp_path / 'says')!r}):\n"
        f"    print(open({str(tmp_path / 'says')!r}).read())\n    sys.exit(1)\n"
        f"if os.path.exists({str(tmp_path / 'dies')!r}):\n"
        "    print('loading shard 3 of 4', flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
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
            "serve some/model --host 127.0.0.1 --port PORT --tensor-parallel-size 2 --data-parallel-size 4 -x",
        ),
        ("sglang", "-m sglang.launch_server --model-path some/model --host 127.0.0.1 --port PORT --tp 2 --dp 4 -x"),
        ("ollama", "serve -x"),
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
        "model.server.arguments=[-x]",
        *copies,
        "dataset.limit=1",
        "tracker=none",
    )
    assert done.returncode == 1
    assert "CUDA out of memory. Tried to allocate 2 GiB" in done.stderr
    assert "server.tensor_parallel=2" in done.stderr
    assert done.stderr.count("error:") == 1
    called = (tmp_path / "called").read_text().splitlines()[1:]
    ports = re.findall(r"\d{4,5}", " ".join(called) + (tmp_path / "host").read_text())
    assert " ".join(called).replace(ports[0], "PORT") == expected
    assert (tmp_path / "host").read_text() == (f"127.0.0.1:{ports[0]}" if preset == "ollama" else "")


def test_a_server_that_was_killed_is_told_as_killed(
    mmsb: Run, tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fake), prepend=os.pathsep)
    (tmp_path / "dies").touch()
    done = mmsb("model=vllm", "model.name=some/model", "model.serve=true", "dataset.limit=1", "tracker=none")
    assert done.returncode == 1
    assert "vllm serve some/model was killed (SIGKILL): loading shard 3 of 4" in done.stderr
    assert "for want of memory" in done.stderr


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


def test_a_server_that_does_not_get_ready_is_stopped(
    mmsb: Run, tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fake), prepend=os.pathsep)
    done = mmsb(
        "model=vllm", "model.name=slow", "model.serve=true", "model.server.within=1", "dataset.limit=1", "tracker=none"
    )
    assert "vllm serve slow is not ready after 1 s" in done.stderr
    assert not [one for one in psutil.process_iter(["cmdline"]) if "slow" in (one.info["cmdline"] or ())]
