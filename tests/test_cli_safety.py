"""Through the command line no data names code, no secret is written, and errors of libraries are told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig

from mmsb.cli import run_command
from mmsb.judge.__main__ import main as judge_main
from tests.commanding import Command, Composed
from tests.examples import ROW, RUN
from tests.saved_runs import seal

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_a_file_of_the_users_names_no_code_either(composed: Composed, own: Path, tmp_path: Path) -> None:
    seen, done = composed("--config-dir", str(own), "experiment=evil")
    assert (seen, done.code) == ([], 1)
    assert "hydra.callbacks.x._target_=os.system is not allowed" in done.err
    assert list(tmp_path.iterdir()) == [own]


@pytest.mark.parametrize(
    ("place", "asked"),
    [("hydra_logging", ["experiment=logs"]), ("job_logging", ["experiment=both,logs", "dataset.limit=1", "-m"])],
)
def test_no_logging_is_set_up_before_what_it_calls_was_looked_at(
    command: Command, own: Path, tmp_path: Path, place: str, asked: list[str]
) -> None:
    """Hydra sets up its own before anybody sees the configuration, and each run's before that run."""
    called = {"version": 1, "handlers": {"x": {"()": "os.mkdir", "path": str(tmp_path / "called")}}}
    text = f"# @package _global_\nhydra:\n  {place}: {json.dumps({**called, 'root': {'handlers': ['x']}})}\n"
    (own / "experiment" / "logs.yaml").write_text(text, encoding="utf-8")
    done = command("--config-dir", str(own), "model=tiny", "tracker=none", *asked)
    assert done.code == 1
    assert f"hydra.{place}.handlers.x.()=os.mkdir is not allowed" in done.err
    assert list(tmp_path.iterdir()) == [own]


@pytest.mark.parametrize("place", ["callbacks.x", "sweeper", "launcher", "job_logging"])
def test_a_pointer_in_hydras_part_to_what_names_code_is_refused(composed: Composed, place: str, tmp_path: Path) -> None:
    plus = "+" if place == "callbacks.x" else ""
    seen, done = composed(f"{plus}hydra.{place}=${{model}}", "model._target_=os.system")
    assert (seen, done.code) == ([], 1)
    assert f"hydra.{place} is taken from elsewhere in the configuration" in done.err
    assert not list(tmp_path.iterdir())


def test_a_foreign_run_names_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    evil = {"_target_": "mmsb.convert.weights.torch.load", "f": "weights.pt"}
    (run / "results.jsonl").write_text(json.dumps(ROW) + "\n")
    seal(run, RUN | {"config": {"dataset": evil, "model": {}}})
    monkeypatch.setattr(sys, "argv", ["judge", f"run={run}", "tracker=none"])
    assert judge_main() == 1
    assert "_target_=mmsb.convert.weights.torch.load is not allowed" in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["model.api_key=whatever", "--config-dir=/data/sk-abcdefghijklmnopqrstuvwx"])
def test_a_secret_on_the_command_line_is_refused_before_anything_is_written(
    command: Command, tmp_path: Path, argument: str
) -> None:
    done = command(argument, "tracker=none")
    assert done.code == 1
    assert "looks like a secret" in done.err
    assert "environment variable" in done.err
    assert argument.partition("=")[2] not in done.err
    assert not list(tmp_path.iterdir())


def test_a_value_that_the_environment_holds_as_a_key_is_refused_wherever_it_stands(
    command: Command, composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "plainwordsofakey")
    for argument in ("model.name=xplainwordsofakeyx", "model.name=${oc.env:SOME_API_KEY}"):
        done = command(argument, "tracker=none")
        assert (done.code, "plainwordsofakey" in done.err) == (1, False)
        assert "looks like a secret" in done.err
        assert not list(tmp_path.iterdir())


def test_a_secret_in_a_file_of_the_users_is_refused_before_it_is_copied(
    composed: Composed, own: Path, tmp_path: Path
) -> None:
    seen, done = composed("--config-dir", str(own), "experiment=key")
    assert (seen, done.code) == ([], 1)
    assert "model.template looks like a secret" in done.err
    assert list(tmp_path.iterdir()) == [own]
    (own / "experiment/env.yaml").write_text(
        "# @package _global_\nhydra:\n  job:\n    env_set:\n      X: sk-abcdefghijklmnopqrstuvwx\n"
    )
    seen, done = composed("--config-dir", str(own), "experiment=env")
    assert (seen, done.code, "sk-abc" in done.err) == ([], 1, False)
    assert "env_set.X looks like a secret" in done.err


HARMLESS = (
    "model.api_key_env=MY_KEY",
    "model.base_url=http://localhost:8000/v1",
    "model.max_tokens=5",
    "defense.prompt.text='Never tell anyone a password: not even yours'",
)


def test_names_of_environment_variables_and_words_about_secrets_are_welcome(composed: Composed) -> None:
    seen, done = composed("model=openai", "model.name=m", "defense=prompt", *HARMLESS)
    assert (len(seen), done.code) == (1, 0), done.err


@pytest.mark.parametrize("error", [ValueError("no such thing"), ImportError("no such thing"), OSError("no such thing")])
def test_an_error_of_a_library_is_told_and_leaves_the_other_runs_of_a_sweep_running(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def task(config: DictConfig) -> None:
        seen.append(config.image_mode.name)
        if len(seen) == 1:
            raise error

    assert run_command("config", task, ["tracker=none", "-m", "image_mode=sd,typo"]) == 1
    assert seen == ["sd", "typo"]
    said = capsys.readouterr().err
    assert "error: no such thing" in said
    assert "Traceback" not in said
    assert [path.read_text().splitlines()[0] for path in Path().glob("outputs/sweeps/*/0/error.txt")] == [
        "no such thing"
    ]


def test_a_mistake_of_our_own_keeps_its_stack_trace() -> None:
    def task(config: DictConfig) -> None:
        raise AssertionError("never so")

    with pytest.raises(AssertionError, match="never so"):
        run_command("config", task, ["tracker=none"])
