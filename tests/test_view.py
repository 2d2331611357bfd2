"""Looking at runs while they go on: progress, the live page, and who is let in."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from mmsb.calls import LIVE as LIVE_CALLS
from mmsb.calls import Calls
from mmsb.errors import ConfigError
from mmsb.flow import Call
from mmsb.report.finished import finished_run
from mmsb.report.progress import Going, run_folders
from mmsb.results import FILE, LIVE, Results
from mmsb.scenario import official_scenarios
from mmsb.types import Failure, Prompt, Question, Response, Result, Sample, Verdict
from mmsb.view.server import Server, View
from tests.browser import Browser, chromium
from tests.reporting import Made

__all__ = ["chromium"]


def unfinished(folder: Path, rows: int) -> Path:
    """A run as it lies there after some rows: Hydra's configuration, and a draft whose last line is torn."""
    Made().write(folder)
    values = json.loads((folder / "run.json").read_text())
    lines = (folder / FILE).read_bytes().splitlines(keepends=True)
    (folder / LIVE).write_bytes(b"".join(lines[:rows]) + lines[rows][:20])
    (folder / ".hydra").mkdir()
    (folder / ".hydra/config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(values["config"])))
    hydra = {"hydra": {"runtime": {"choices": values["choices"] | {"hydra/launcher": "basic"}}}}
    (folder / ".hydra/hydra.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(hydra)))
    for name in ("run.json", FILE):
        (folder / name).unlink()
    return folder


def more(folder: Path, rows: int) -> None:
    """Let the run go on."""
    Made().write(folder / "all")
    lines = (folder / "all" / FILE).read_bytes().splitlines(keepends=True)
    (folder / LIVE).write_bytes(b"".join(lines[:rows]))


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """A sweep of one finished run and one that goes on."""
    Made("text_only").write(tmp_path / "outputs/sweeps/2026/0")
    unfinished(tmp_path / "outputs/sweeps/2026/1", 5)
    return tmp_path / "outputs"


@pytest.fixture
def server(outputs: Path, tmp_path: Path) -> Iterator[Server]:
    with View(port=0, output_dir=outputs).server(tmp_path / "made") as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def got(server: Server, path: str, host: str | None = None) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_a_run_that_goes_on_is_counted_as_its_rows_arrive(outputs: Path) -> None:
    folder = outputs / "sweeps/2026/1"
    going = Going(folder)
    first = going.look()
    assert (first["done"], first["total"], first["finished"], first["calls"]) == (5, 16, False, 5)
    assert first["rate"] > 0
    assert first["left"] > 0
    more(folder, 9)
    assert going.look()["done"] == 9
    assert going.look()["tokens"] == 9 * 29


def test_answers_that_are_judged_again_are_told_by_the_run_that_they_are_of(tmp_path: Path) -> None:
    of = Made().write(tmp_path / "run")
    folder = unfinished(tmp_path / "again", 3)
    OmegaConf.save({"run": str(of), "judge": {"name": "other"}}, folder / ".hydra/config.yaml")
    OmegaConf.save({"hydra": {"runtime": {"choices": {"judge": "rubric"}}}}, folder / ".hydra/hydra.yaml")
    going = Going(folder)
    assert going.look()["total"] == 16
    assert going.run.values["choices"] == finished_run(of).values["choices"] | {"judge": "rubric"}
    assert going.run.values["config"]["judge"] == {"name": "other"}


def test_what_a_run_writes_is_what_is_followed(tmp_path: Path) -> None:
    scenario = official_scenarios()[0]
    asked = Sample("a", Prompt("Say it."), Question("1", scenario.id, {"plain": "Say it."}), scenario)
    with Results(tmp_path) as results:
        results.expect("a")
        results.add(Result(asked, Response("No.", input_tokens=3, output_tokens=2, calls=4), Verdict("unparsed")))
        results.show()
        found = Going(tmp_path).look()
    assert {key: found[key] for key in ("done", "unparsed", "failed", "calls", "tokens", "finished")} == {
        "done": 1,
        "unparsed": 1,
        "failed": 0,
        "calls": 4,
        "tokens": 5,
        "finished": False,
    }


def test_failures_and_unparsed_answers_are_counted(tmp_path: Path) -> None:
    failed = {"outcome": "failed", "label": "failed", "response": None, "cause": "timeout", "message": ""}
    bad: list[dict[str, Any]] = [failed, failed, {"label": "unparsed"}]
    folder = Made(answer=lambda number, sample: bad[number] if number < 3 else {}).write(tmp_path / "run")
    found = Going(folder).look()
    assert (found["failed"], found["unparsed"], found["finished"], found["total"]) == (2, 1, True, 16)


def test_what_a_run_cost_so_far_is_told_and_nothing_without_a_price_is_free(tmp_path: Path) -> None:
    folder = unfinished(tmp_path / "run", 3)
    config = OmegaConf.load(folder / ".hydra/config.yaml")
    config.prices.llm = {"dear": {"input": 2.0, "output": 10.0}}
    OmegaConf.save(config, folder / ".hydra/config.yaml")
    reply = Response("a", input_tokens=100_000, output_tokens=10_000)
    (folder / "beside").mkdir()
    with Calls(folder / "beside") as calls:
        calls.add("1", [Call("answer", None, "dear", Prompt("q"), reply, 0.0, 1.0)])
        calls.add("2", [Call("answer", None, "dear", Prompt("q"), Failure("timeout", "late"), 0.0, 1.0)])
        calls.show()
        (folder / LIVE_CALLS).write_bytes((folder / "beside" / LIVE_CALLS).read_bytes() + b'{"sample": "3", "st')
        going = Going(folder)
        assert (going.look()["dollars"], going.look()["unpriced"]) == (pytest.approx(0.3), [])
        calls.add("3", [Call("judge", None, "cheap", Prompt("q"), reply, 0.0, 1.0)])
        calls.show()
        (folder / LIVE_CALLS).write_bytes((folder / "beside" / LIVE_CALLS).read_bytes())
    assert (going.look()["dollars"], going.look()["unpriced"]) == (pytest.approx(0.3), ["cheap"])
    assert (folder / "beside" / LIVE_CALLS).exists()  # for who looks at a run that came to no end


def test_sweeps_and_runs_are_found_newest_first_and_nothing_else(outputs: Path) -> None:
    Made().write(outputs / "runs/2027")
    (outputs / "runs/empty").mkdir()
    found = run_folders(outputs)
    assert list(found) == ["runs/2027", "sweeps/2026"]
    assert [folder.name for folder in found["sweeps/2026"]] == ["0", "1"]


def test_the_status_names_runs_and_their_page(server: Server) -> None:
    status, text = got(server, "/status")
    found = json.loads(text)["runs"]
    assert status == 200
    assert [(run["label"], run["page"], run["done"]) for run in found] == [
        ("text_only", "sweeps/2026/page.html", 16),
        ("sd_typo", "sweeps/2026/page.html", 5),
    ]


def test_a_run_whose_files_were_changed_is_told_and_the_others_are_shown(
    chromium: Browser, server: Server, outputs: Path
) -> None:
    (outputs / "sweeps/2026/0/run.json").write_text(json.dumps({"name": "mine"}))
    status, text = got(server, "/status")
    assert (status, [run["done"] for run in json.loads(text)["runs"]]) == (200, [5])  # the one that goes on
    chromium.driver.get(f"http://127.0.0.1:{server.server_port}/")
    chromium.until("return document.querySelector('#progress a')")
    assert "sweeps/2026/0/run.json is not a run's record" in chromium.text("#progress")


@pytest.mark.parametrize("path", ["/../etc/passwd", "/sweeps/../page.html", "/sweeps/2026/data/../page.html", "/x"])
def test_nothing_but_pages_is_served(server: Server, path: str) -> None:
    assert got(server, path)[0] == 404


def test_another_name_for_this_machine_is_turned_away(server: Server) -> None:
    assert got(server, "/status", host="evil.example")[0] == 403


def test_it_listens_on_the_loopback_address_only(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_an_error_for_people(server: Server, outputs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"port={server.server_port} cannot be used"):
        View(port=server.server_port, output_dir=outputs).server(tmp_path)


def test_the_live_page_grows_with_the_run(chromium: Browser, server: Server, outputs: Path) -> None:
    chromium.open(f"http://127.0.0.1:{server.server_port}/sweeps/2026/page.html")
    chromium.until("return document.querySelectorAll('#progress tr').length === 3")
    assert chromium.texts("#progress tr:nth-child(3) td")[0] == " 5 of 16"
    chromium.run("document.querySelector('#line-5').click()")
    assert len(chromium.texts("#card .cell")) == 1
    more(outputs / "sweeps/2026/1", 9)
    chromium.until("return document.querySelector('#progress button')")
    assert chromium.text("#progress button") == "4 new samples: show them"
    chromium.run("document.querySelector('#progress button').click()")
    chromium.until(
        "return document.body.dataset.ready === 'yes' && document.querySelectorAll('#card .cell').length === 2"
    )
    assert (
        chromium.until("const i = document.querySelector('#card img'); return i && i.complete && i.naturalWidth") > 100
    )
    assert chromium.complaints() == []


def test_the_list_of_runs_leads_to_their_page(chromium: Browser, server: Server) -> None:
    chromium.driver.get(f"http://127.0.0.1:{server.server_port}/")
    chromium.until("return document.querySelector('#progress a')").click()
    chromium.until("return document.body.dataset.ready === 'yes'")
    assert chromium.text("#count").startswith("16 of 16")
    assert urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/").headers["X-Frame-Options"] == "DENY"
