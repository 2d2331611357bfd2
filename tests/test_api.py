"""mmsb from Python: the same runs as from the command line, as data frames, in a notebook too."""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hypothesis
import nbformat
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from omegaconf import OmegaConf

import mmsb
from mmsb.api import written
from mmsb.budget import BudgetReached
from mmsb.errors import ConfigError
from mmsb.preflight.confirm import Unconfirmed
from mmsb.report.finished import Finished
from tests.commanding import Command
from tests.conftest import ROOT
from tests.endpoint import ChatServer, error
from tests.forks import python

ASKED: dict[str, Any] = {"image_mode": "text_only", "scenario": "fraud", "tracker": "none"}
WORDS = tuple(f"{key}={value}" for key, value in ASKED.items())

texts = st.text() | st.text(alphabet='\\"${}a,:[] ')
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex("[a-z]+", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=5,
)


@hypothesis.settings(max_examples=60, deadline=None)
@given(values)
def test_any_value_arrives_as_it_was_given(value: object) -> None:
    parsed = OverridesParser.create().parse_override(f"key={written(value)}").value()
    assert OmegaConf.to_container(OmegaConf.create({"key": parsed}), resolve=True) == {"key": value}


@pytest.mark.usefixtures("elsewhere")
def test_a_run_from_python_is_the_commands_run(command: Command, tmp_path: Path) -> None:
    made = mmsb.evaluate(**ASKED)
    typed = command(*WORDS, f"output_dir={tmp_path / 'other'}")
    [folder] = (tmp_path / "other/runs").iterdir()
    assert typed.code == 0
    assert (made.folder / "results.jsonl").read_bytes() == (folder / "results.jsonl").read_bytes()
    [same] = mmsb.open_runs(folder)
    assert (made.values["identity"], made.metrics) == (same.values["identity"], same.metrics)


@pytest.mark.usefixtures("elsewhere")
def test_frames_hold_what_the_run_recorded() -> None:
    runs = [mmsb.evaluate(**ASKED), mmsb.evaluate(**ASKED, defense=["safety_prompt"])]
    rates, samples = mmsb.rates(runs), mmsb.samples(runs)
    for run, defense in zip(runs, ("none", "safety_prompt"), strict=True):
        [row] = rates.query(f"defense == '{defense}' and metric == 'asr' and scope == 'macro'").to_dict("records")
        assert [row[end] for end in ("value", "low", "high")] == [
            run.metrics[f"asr/macro{end}"] for end in ("", "_low", "_high")
        ]
        own = samples[samples.defense == defense]
        rated = own.label.isin(["safe", "unsafe"])
        assert (own.label == "unsafe").sum() / rated.sum() == run.metrics["asr/micro"]
        assert list(own.id) == [row["id"] for row in run.rows()]


@pytest.mark.usefixtures("elsewhere")
def test_it_works_inside_a_running_event_loop() -> None:
    async def cell() -> Any:
        return mmsb.evaluate(**ASKED)

    run = asyncio.run(cell())
    assert run.metrics["n/total"] > 0
    rate = run.rate("asr/macro")
    assert rate
    assert rate.n is None  # not 0: it rests on some


@pytest.mark.usefixtures("elsewhere")
def test_failed_samples_warn_and_are_in_no_rate() -> None:
    with ChatServer(act=lambda text, attempt: error(400, "no such picture")) as server:
        settings = {"model.base_url": server.url, "model.name": "m"}
        with pytest.warns(UserWarning, match="samples failed"):
            run = mmsb.evaluate(**ASKED, model="vllm", settings=settings)
    assert run.metrics["n/failed"] == run.metrics["n/total"]
    assert run.rate("asr/macro") is None
    assert mmsb.rates(run).empty


@pytest.mark.usefixtures("elsewhere")
def test_plan_budget_confirmation_and_bill_are_those_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    with ChatServer() as server:
        dear = {"model.base_url": server.url, "model.name": "m", "+prices.llm.m": {"input": 1000, "output": 10000}}

        def ask(**more: object) -> Finished:
            return mmsb.evaluate(**ASKED, model="vllm", settings=dear | {f"budget.{k}": v for k, v in more.items()})

        with pytest.raises(Unconfirmed, match="no terminal to confirm it on"):
            ask(confirm=1)
        with pytest.raises(ConfigError, match="dry_run=true starts no run"):
            mmsb.evaluate(**ASKED, model="vllm", settings=dear | {"dry_run": True})
        assert not server.attempts.keys() - {"Reply with the word OK."}
        assert not (tmp_path / "outputs").exists()
        with pytest.raises(BudgetReached, match=r"budget.calls=3 is reached \(3 calls so far\)") as reached:
            ask(calls=3, confirm=None)
        assert "python -m mmsb " in reached.value.remedy
        assert "budget.calls=6" in reached.value.remedy
        finished = ask(calls=50, confirm=None)
    assert finished.metrics["n/failed"] == 0
    told = capsys.readouterr().err
    assert "plan: 1 run, 8 samples; 8 calls to make" in told
    assert "bill: 3 calls (planned 8)" in told
    assert "bill: 5 calls (planned 5)" in told
    [stopped] = tmp_path.glob("outputs/runs/*/stopped.txt")
    assert "budget.calls=3" in stopped.read_text()
    assert dict(os.environ) == before


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"image_mode": ["sd", "typo"]}, "one option is meant"),
        ({"image_mode": "sd,typo"}, "did you mean sd_typo"),
        ({"settings": {"model.nothing": 1}}, "model.nothing is not a setting"),
        ({"settings": {"model.name": {1, 2}}}, "cannot stand in a configuration"),
        ({"settings": {"model.api_key": "sk-abcdefghijklmnopqrstuvwx"}}, "key"),
    ],
)
def test_a_wrong_argument_is_told(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(mmsb.MmsbError, match=said):
        mmsb.evaluate(**arguments)


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", python())  # which its kernel is started by
    notebook = nbformat.reads((ROOT / "examples/safety_prompt.ipynb").read_text(), 4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(str(output.get("text", "")) for cell in notebook.cells for output in cell.get("outputs", []))
    assert "questions flip from unsafe to safe" in printed


def test_threads_take_turns_and_each_gets_its_own_run(tmp_path: Path) -> None:
    def asked(mode: str) -> str:
        settings = {"output_dir": str(tmp_path), "tracker": "none", "dataset.limit": 1}
        return str(
            mmsb.evaluate(model="tiny", image_mode=mode, scenario="fraud", settings=settings).values["choices"][
                "image_mode"
            ]
        )

    modes = ["text_only", "sd", "typo"]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(asked, modes)) == modes
