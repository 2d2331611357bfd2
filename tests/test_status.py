"""Which runs go on, which are left, which are dead; and removing those."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mmsb.clean.dead import Clean
from mmsb.model.ledger import Ledger, Record
from mmsb.report.progress import run_folders
from mmsb.results import Results
from mmsb.status.table import Status
from mmsb.tracker.base import Sweep
from mmsb.types import Result
from tests.conftest import Run
from tests.endpoint import ChatServer, error
from tests.reporting import Made
from tests.test_view import unfinished


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """A sweep of four: one run finished, one going on, one dead; one has not begun. And a single dead run."""
    folder = tmp_path / "outputs"
    sweep = folder / "sweeps/2026"
    Made("text_only").write(sweep / "0")
    for place in (sweep / "1", sweep / "2", folder / "runs/2026"):
        unfinished(place, 5)
        (place / ".lock").touch()  # whoever died let go of it
    (folder / "runs/starting/.hydra").mkdir(parents=True)
    (sweep / "2/error.txt").write_text("the endpoint went away\n")
    Sweep(sweep, "mine", "0" * 32, runs=4).save()
    return folder


def test_status_tells_running_stopped_and_left_apart(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Results(outputs / "sweeps/2026/1"):
        unfinished_rows = outputs / "sweeps/2026/1/.results.jsonl.live"
        unfinished_rows.write_bytes((outputs / "sweeps/2026/2/.results.jsonl.live").read_bytes())
        Status(output_dir=outputs).print()
    out = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")] for line in out.splitlines() if "│" in line]
    states = {row[1]: row[2] for row in rows if "2026" in row[1]}
    assert states == {
        "sweeps/2026/0": "finished",
        "sweeps/2026/1": "running",
        "sweeps/2026/2": "failed",
        "runs/2026": "stopped",
    }
    assert "5/16" in out
    assert "the endpoint went away" in out
    assert "1 of 4 runs have not begun" in out
    assert "1 stopped before the end" in out


def test_what_is_older_is_counted_and_what_goes_on_is_shown(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        unfinished(outputs / f"runs/2027-{number}", 5)
    Made("text_only").write(outputs / "runs/2028")
    with Results(outputs / "runs/2027-0"):
        Status(output_dir=outputs, newest=1).print()
    out = capsys.readouterr().out
    shown = [line.split("│")[1].strip() for line in out.splitlines() if "│ runs/" in line or "│ sweeps/" in line]
    assert shown == ["runs/2028", "runs/2027-0"]
    assert "4 older sweeps and single runs are not shown, 5 of whose runs did not come to their end: newest=6" in out


def test_a_run_that_failed_and_one_that_was_interrupted_are_told_with_what_they_had(
    mmsb: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("model=openai", "model.name=x", "dataset.limit=1", "image_mode=text_only", "tracker=none")
    add = Results.add

    def interrupted(results: Results, result: Result) -> None:
        add(results, result)
        raise KeyboardInterrupt

    with ChatServer(act=lambda text, attempt: error(401, "revoked") if len(server.requests) > 3 else None) as server:
        model = (f"model.base_url={server.url}", "model.concurrency=1")
        assert mmsb(*asked, *model, OPENAI_API_KEY="none").returncode == 1
    monkeypatch.setattr(Results, "add", interrupted)
    monkeypatch.chdir(tmp_path)
    with ChatServer() as server:  # no local model, in whose batch this process would be ended
        mine = (f"model.base_url={server.url}", "hydra.run.dir=outputs/elsewhere/mine")  # not where all others are
        assert mmsb(*asked, *mine, OPENAI_API_KEY="none").returncode == 130
    Status().print()
    out = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")] for line in out.splitlines() if "/" in line.partition("│")[2]]
    found = {row[2]: row for row in rows}
    assert {row[1].partition("/")[0] for row in rows} == {"elsewhere", "runs"}
    assert set(found) == {"stopped", "failed"}
    assert found["stopped"][3] == "1/13"
    assert "revoked" in out
    assert out.count("1 stopped before the end; the same command again goes on") == 2


def test_of_two_runs_in_one_second_the_later_one_is_the_newer(tmp_path: Path) -> None:
    for at, letter in ((2, "a"), (3, "c"), (1, "b")):  # chance, in the folder's name
        unfinished(tmp_path / f"runs/2026-01-01_00-00-00_{letter}", 1)
        os.utime(tmp_path / f"runs/2026-01-01_00-00-00_{letter}/.hydra/config.yaml", (at, at))
    assert [name[-1] for name in run_folders(tmp_path)] == ["c", "a", "b"]


def test_what_a_run_spent_is_what_its_bill_says(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def bill(place: str, **line: object) -> None:
        values = {"began": "1", "lines": {"m": {"calls": 3, **line}}}
        (outputs / place / "bill.json").write_text(json.dumps(values))

    bill("sweeps/2026/0", dollars=1.25)
    bill("sweeps/2026/1", uncounted=1)
    bill("sweeps/2026/2", dollars=0.0)  # a model that runs here
    Status(output_dir=outputs).print()
    rows = [[cell.strip() for cell in line.split("│")] for line in capsys.readouterr().out.splitlines() if "│" in line]
    spent = {row[1]: row[6] for row in rows if "2026" in row[1]}
    assert spent == {"sweeps/2026/0": "$1.25", "sweeps/2026/1": "unknown", "sweeps/2026/2": "", "runs/2026": ""}


def test_a_command_that_makes_no_run_leaves_no_sweep_either(mmsb: Run, tmp_path: Path) -> None:
    done = mmsb("newest=1,2", "-m", module="mmsb.status")
    assert done.stdout == "no run in outputs yet\n" * 2
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_of_one_run_is_told_and_the_others_are_told_too(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (outputs / "runs/2026/bill.json").write_text("[]")
    (outputs / "sweeps/2026/plan.json").write_text('{"calls": "many"}')
    (outputs / "sweeps/2026/bill.json").write_text('{"began": "1", "lines": {"m": {"calls": 3}}}')
    Status(output_dir=outputs).print()
    out = " ".join(capsys.readouterr().out.split())
    assert "runs/2026/bill.json is no bill" in out
    assert "bill: 3 calls, 0 tokens in" in out  # beside no plan: that one is none
    (outputs / "sweeps/2026/0/run.json").write_text("{}")
    Status(output_dir=outputs).print()
    out = " ".join(capsys.readouterr().out.split())
    assert "sweeps/2026/0 │ unreadable" in out
    assert "sweeps/2026/0/run.json is not a run's record: name: Field required" in out
    assert "runs/2026 │ stopped" in out
    (outputs / "sweeps/2026/sweep.json").write_text('{"name": "mine", "identity": "0", "runs": "4"}')
    Status(output_dir=outputs).print()
    assert "sweep.json is not a sweep's record" in " ".join(capsys.readouterr().out.split())


def test_batches_that_wait_at_a_server_are_told(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger(outputs / "store/gpt-1/batches") as ledger:
        Status(output_dir=outputs).print()
        assert "are in batches" not in capsys.readouterr().out
        ledger.write(Record("1-a", ["k"] * 1_300, "file-1", batch="batch_7"))
        ledger.write(Record("2-b", ["l"], "file-2"))
        Status(output_dir=outputs).print()
    told = " ".join(capsys.readouterr().out.split())
    assert "1,301 prompts are in batches (batch_7, one that may have been submitted); the same command" in told
    (outputs / "store/gpt-1/batches/1-a.json").write_text("{")
    Status(output_dir=outputs).print()
    assert "1-a.json cannot be read" in capsys.readouterr().out


def test_clean_takes_the_dead_and_nothing_else(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (outputs / "store").mkdir()
    with Results(outputs / "sweeps/2026/1"):
        Clean(output_dir=outputs).clean()
        assert "remove=true" in capsys.readouterr().out
        assert (outputs / "runs/2026").is_dir()
        Clean(output_dir=outputs, remove=True).clean()
    assert [path.name for path in sorted((outputs / "sweeps/2026").glob("*/"))] == ["0", "1"]
    assert [path.name for path in (outputs / "runs").iterdir()] == ["starting"]
    assert (outputs / "store").is_dir()


def test_clean_goes_through_no_link(outputs: Path, tmp_path: Path) -> None:
    for place in ("run", "sweep/0"):
        (tmp_path / "elsewhere" / place).mkdir(parents=True)
        (tmp_path / "elsewhere" / place / ".lock").touch()
    (outputs / "runs/link").symlink_to(tmp_path / "elsewhere/run")
    (outputs / "sweeps/link").symlink_to(tmp_path / "elsewhere/sweep")
    (outputs / "runs/2026/inner").symlink_to(tmp_path / "elsewhere")
    Clean(output_dir=outputs, remove=True).clean()
    assert not (outputs / "runs/2026").exists()
    assert len(list((tmp_path / "elsewhere").rglob(".lock"))) == 2


def test_nothing_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Status(output_dir=tmp_path / "none").print()
    Clean(output_dir=tmp_path / "none").clean()
    out = capsys.readouterr().out
    assert "no run in" in out
    assert "no run is dead" in out
