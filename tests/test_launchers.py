"""Sweeps in several processes: a GPU for each, one parent run, one plan, and errors where they belong."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from mmsb import gpus
from mmsb.errors import ConfigError
from tests.commanding import Composed
from tests.conftest import ROOT, Run
from tests.forks import NAMED, python

# A local model that needs neither torch nor transformers, which each process of a sweep would import for seconds.
ECHO = """
from mmsb.config import settings
from mmsb.model.hf import HF
from mmsb.types import Response


@settings
class Echo(HF):
    def check(self):
        pass

    def generate(self, batches):
        for batch in batches:
            for prompt in batch:
                yield prompt, Response(f"echo: {prompt.text}")
"""
OWN = ("model=tiny", "model._target_=echoing.Echo", "trusted_packages=[echoing]", "judge=refusal")
SWEEP = (*OWN, "dataset.limit=1", "scenario=[fraud]", "-m")


@pytest.fixture
def sweep(mmsb_fork: Run, tmp_path: Path) -> Run:
    """Run `SWEEP` with more settings, in a process of its own that sees some GPUs."""
    (tmp_path / "echoing.py").write_text(ECHO, encoding="utf-8")
    there = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "TMPDIR": str(tmp_path)}
    return partial(mmsb_fork, *SWEEP, **there)


def saved(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("run.json"))]


def test_runs_side_by_side_have_a_gpu_each_and_one_parent(sweep: Run, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    done = sweep("image_mode=text_only,typo", "hydra/launcher=joblib", CUDA_VISIBLE_DEVICES="6,7")
    assert done.returncode == 0, done.stderr
    assert "plan: 2 runs, 2 samples; 2 calls to make" in done.stderr
    assert "bill: 2 calls (planned 2)" in done.stderr  # of processes that each keep their own
    runs = saved(tmp_path / "outputs" / "sweeps")
    assert [run["name"] for run in runs] == ["image_mode=text_only", "image_mode=typo"]
    assert {run["record"]["environment"]["visible_gpus"] for run in runs} <= {"6", "7"}
    with sqlite3.connect(next(tmp_path.rglob("*.db"))) as database:
        parents = database.execute("select value from tags where key = 'mlflow.parentRunId'").fetchall()
    database.close()
    assert len(parents) == 2
    assert len(set(parents)) == 1


def test_a_run_of_joblib_that_is_killed_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")

    def job(number: int, overrides: list[str], *_: Any) -> JobReturn:
        (folder := tmp_path / str(number)).mkdir(exist_ok=True)
        if overrides == ["killed"]:
            os.kill(os.getpid(), signal.SIGKILL)
        with (folder / "run.json").open("a") as file:
            file.write("run")
        return JobReturn(status=JobStatus.COMPLETED, task_name=str(number))

    monkeypatch.setattr("hydra_plugins.hydra_joblib_launcher._core.execute_job", job)
    launcher = importlib.import_module("hydra_plugins.mmsb_joblib_launcher").JoblibLauncher(n_jobs=2)
    launcher.setup(
        hydra_context=None,
        task_function=None,
        config=OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}),
    )
    done = launcher.launch([["fine"], ["killed"], *[["fine"]] * 4], 3)
    assert [(tmp_path / str(number) / "run.json").exists() for number in range(3, 9)] == [True, False, *[True] * 4]
    assert (tmp_path / "3/run.json").read_text() == "run"  # once
    assert (tmp_path / "4/error.txt").read_text().startswith("run 4 was lost, its process was killed twice")
    assert [ret.status for ret in done] == [JobStatus.COMPLETED] * 6
    assert "error: run 4 was lost" in capsys.readouterr().err
    said = 'import warnings; warnings.warn("resource_tracker: There appear to be 3 leaked semlock objects")'
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, check=True).stderr == b""


def test_a_run_of_joblib_ends_with_the_command_that_began_it_however_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = importlib.import_module("hydra_plugins.mmsb_joblib_launcher")
    monkeypatch.setattr(launcher, "LOOK", 0.02)
    reading, writing = os.pipe()
    if not (command := os.fork()):
        if run := os.fork():
            os.write(writing, str(run).encode())
            time.sleep(60)
        launcher._with_its_parent(time.sleep, 60)
        os._exit(0)
    run = int(os.read(reading, 20))
    os.kill(command, signal.SIGKILL)
    os.waitpid(command, 0)
    end = time.monotonic() + 20
    while psutil.pid_exists(run) and psutil.Process(run).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.01)
    os.close(reading)
    os.close(writing)


# The run with the pictures is killed for good. One of the two others is told that it will be preempted, as Slurm tells
# it (SIGTERM too, which says nothing of use), and is begun again.
SIGNALLED = """\
                if prompt.text.startswith('The image'):
                    os.kill(os.getpid(), signal.SIGKILL)
                if not Path("told").exists():
                    Path("told").touch()
                    os.kill(os.getpid(), signal.SIGTERM)
                    os.kill(os.getpid(), signal.SIGUSR2)
                    time.sleep(600)
"""


def test_submitit_begins_a_preempted_run_again_and_one_that_is_killed_leaves_the_others(
    sweep: Run, tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    (line,) = [line for line in ECHO.splitlines(keepends=True) if line.lstrip().startswith("yield")]
    imports = "import os\nimport signal\nimport time\nfrom pathlib import Path\n"
    (tmp_path / "echoing.py").write_text(imports + ECHO.replace(line, SIGNALLED + line), encoding="utf-8")
    # What submitit knows by its process id, as the name of its files, is no fork's client: only its jobs are forks.
    (tmp_path / "python").write_text(
        f'#!/bin/sh\ncase "$*" in *submitit.core._submit*) exec {python()} "$@";; esac\nexec {sys.executable} "$@"\n'
    )
    (tmp_path / "python").chmod(0o700)
    there = {"CUDA_VISIBLE_DEVICES": "3", NAMED: str(tmp_path / "python")}
    three = "image_mode=sd,text_only,typo"
    done = sweep(three, "tracker.traces=none", "hydra/launcher=submitit_local", **there)
    assert done.returncode == 1
    assert "error: run 0 was lost, its process was killed" in done.stderr
    assert "Traceback" not in done.stderr
    runs = saved(tmp_path / "outputs" / "sweeps")
    assert [run["name"] for run in runs] == ["image_mode=text_only", "image_mode=typo"]
    assert [run["record"]["environment"]["visible_gpus"] for run in runs] == ["3", "3"]  # one after the other
    logs = [path.read_text() for path in tmp_path.rglob(".submitit/*/*_log.out")]
    assert len(logs) == 3
    assert [log.count("Requeued job") for log in sorted(logs)].count(1) == 1
    assert "Sweep of 2 runs" in done.stdout
    assert "bill: 2 calls (planned 3)" in done.stderr
    with sqlite3.connect(next(tmp_path.rglob("*.db"))) as database:
        ended = dict(database.execute("select name, status from runs").fetchall())
    database.close()
    assert (ended.pop("text_only"), ended.pop("typo"), list(ended.values())) == ("FINISHED", "FINISHED", ["FAILED"])


def test_jobs_on_this_machine_end_with_the_command_that_waits_for_them() -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    jobs = importlib.import_module("hydra_plugins.mmsb_submitit_launcher")
    holder = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True); import time; time.sleep(60)"
    with jobs._in_groups_of_their_own():
        begun = importlib.import_module("submitit.local.local").subprocess.Popen(
            [sys.executable, "-S", "-c", holder, "submitit.local._local"], stdout=subprocess.PIPE
        )
    assert os.getpgid(begun.pid) == begun.pid  # a Ctrl-C at the terminal is not its own
    job = psutil.Process(int(begun.stdout.readline()))
    jobs._end_jobs()
    assert begun.wait(10) == -signal.SIGKILL  # so that it begins no job again, and prints nothing
    assert not job.is_running() or job.status() == psutil.STATUS_ZOMBIE
    begun.stdout.close()


def test_what_a_job_elsewhere_met_is_told_here_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs, told = importlib.import_module("hydra_plugins.mmsb_submitit_launcher"), set[str]()
    for name, error in (
        ("0", "torn weights\nDownload them again."),
        ("1", "torn weights\nDownload them again."),
        ("2", ""),
    ):
        (folder := tmp_path / name).mkdir()
        if error:
            (folder / "error.txt").write_text(error + "\n")
        assert jobs.Job(SimpleNamespace(results=list), folder, told).results() == []
    assert capsys.readouterr().err == "error in run 0: torn weights\n  try: Download them again.\n"


def test_no_two_claims_get_one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    locks, seen = [], []
    for _ in range(2):
        monkeypatch.setenv(gpus.VISIBLE, "GPU-a,GPU-b")
        held: dict[str, Any] = {}
        monkeypatch.setattr(gpus, "_held", held)
        gpus.claim(wait=False)
        gpus.claim(wait=False)  # a process keeps what it has
        locks.append(held)
        seen.append(gpus.visible_gpus())
    assert seen == [["GPU-a"], ["GPU-b"]]
    monkeypatch.setenv(gpus.VISIBLE, "GPU-a,GPU-b")
    monkeypatch.setattr(gpus, "_held", {})
    with pytest.raises(ConfigError, match="all 2 GPUs") as refused:
        gpus.claim(wait=False)
    assert refused.value.remedy == "hydra.launcher.n_jobs=2"
    for held in locks:
        for lock in held.values():
            lock.close()


def test_a_launcher_whose_extra_is_missing_says_which(composed: Composed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsb.targets.spec_of", lambda module: None)
    _, done = composed("image_mode=sd,typo", "hydra/launcher=submitit_slurm", "-m")
    assert done.code == 1
    assert "pip install 'mmsb[slurm]'" in done.err


def test_slurm_jobs_that_are_preempted_go_on(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What submitit hands to sbatch and back: an array, a signal before the end, and itself again to be resubmitted."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    submitit = importlib.import_module("submitit")
    seen: dict[str, Any] = {}

    class Executor(submitit.AutoExecutor):  # type: ignore[misc, name-defined]
        def map_array(self, job: Any, *columns: Any) -> list[Any]:
            inner = self._executor
            seen.update(text=inner._make_submission_file_text("python -m job", "1"), again=job.checkpoint(["a"]))
            seen["timeouts"] = inner.max_num_timeout
            return []

    monkeypatch.chdir(tmp_path)  # the sweep's folder is made
    monkeypatch.setattr(submitit, "AutoExecutor", Executor)
    monkeypatch.setattr("submitit.slurm.slurm.SlurmExecutor.affinity", lambda *_: 2)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    composed("image_mode=sd,typo", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", "-m")
    assert "#SBATCH --partition=gpu" in seen["text"]
    assert "#SBATCH --gpus-per-node=1" in seen["text"]
    assert "--signal=USR2@120" in seen["text"]
    assert seen["timeouts"] == 20
    assert isinstance(seen["again"], submitit.helpers.DelayedSubmission)


@pytest.mark.parametrize("tracker", ["mlflow", "none"])
def test_who_leaves_a_sweep_on_slurm_is_told_what_becomes_of_its_jobs_and_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tracker: str
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    jobs = importlib.import_module("hydra_plugins.mmsb_submitit_launcher")

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs._Patient, "launch", interrupted)
    for job in ("17_0", "17_1", "%j"):
        (tmp_path / ".submitit" / job).mkdir(parents=True)
    launcher = object.__new__(jobs.SlurmLauncher)
    launcher.config = OmegaConf.create(
        {"hydra": {"sweep": {"dir": str(tmp_path)}, "runtime": {"choices": {"tracker": tracker}}}}
    )
    with pytest.raises(KeyboardInterrupt):
        launcher.launch([], 0)
    said = capsys.readouterr().err
    assert "Its jobs go on: `scancel 17` ends them" in said
    assert f"python -m mmsb.report runs={tmp_path}" in said
    assert (f"says KILLED until then: python -m mmsb.log run={tmp_path}" in said) == (tracker == "mlflow")
