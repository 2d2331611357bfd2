"""The command line, in process: what is refused, what is said about it, and what is left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from mmsb.__main__ import main
from mmsb.cli import run_command
from mmsb.judge.__main__ import main as judge_main
from tests.conftest import ROOT
from tests.test_schemas import ROW, RUN


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`python -m mmsb ...` in this process, in an empty folder."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["mmsb", *arguments])
        code = main()
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture
def composed(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[list[DictConfig], Done]]:
    """The configurations that a command would run, without running them."""

    def run(*arguments: str, name: str = "config") -> tuple[list[DictConfig], Done]:
        seen: list[DictConfig] = []
        code = run_command(name, seen.append, ["tracker=none", *arguments] if name == "config" else arguments)
        captured = capsys.readouterr()
        return seen, Done(code, captured.out, captured.err)

    return run


Composed = Callable[..., tuple[list[DictConfig], Done]]

WRONG = {
    "model=foo": ("model=foo is not an option", "allowed: "),
    "scenario=frod": ("scenario=frod is not an option", "did you mean fraud?"),
    "model.btch_size=4": ("model.btch_size is not a setting", "did you mean batch_size?"),
    "+model.foo=4": ("model.foo is not a setting", "batch_size"),
    "model.batch_size=many": ("model.batch_size='many'", "valid integer"),
    "model.batch_size=0": ("model.batch_size=0", "greater than 0"),
    "model=hf": ("no value for model.name_or_path", "Add model.name_or_path=..."),
    "dataset=mm_safetybench": ("no value for dataset.root", "Add dataset.root=..."),
    "foo=bar": ("foo is not a setting", "dataset, scenario, image_mode"),
    "imagemode=sd": ("imagemode is not a setting", "did you mean image_mode?"),
    "model._target_=os.system": ("model._target_=os.system is not allowed", "trusted_packages"),
    "model._target_=mmsb.convert.weights.torch.load": ("torch.load is not allowed", "declared with @settings"),
    "model.name_or_path=/nowhere": ("model.name_or_path=/nowhere: there is no such folder", "hub id"),
    "image_mode.font.path=/no/font.ttf": ("font.path=/no/font.ttf: there is no such file", "Liberation Sans"),
    "image_mode.font.path=/etc/hostname": ("font.path=/etc/hostname: not a TrueType font", "Liberation Sans"),
    "output_dir=/proc/nowhere": ("/proc/nowhere: No such file", "output_dir=..."),
    "experiment=nope": ("experiment=nope is not an option", "demo"),
    "model@judge=guard/nope": ("model@judge cannot be chosen", "Did you mean to override model?"),
    "hydra/launcher=nope": ("hydra/launcher=nope is not an option", "allowed: basic"),
    "sd_typo": ("Error parsing override 'sd_typo'", "missing EQUAL", "override_grammar"),
    "model.name=${oc.env:NO_SUCH_VARIABLE}": ("Environment variable 'NO_SUCH_VARIABLE' not found",),
    "model.batch_size=1,2": ("Ambiguous value", "key=[value1,value2]", "quote the value", "--multirun"),
    "model=null": ("cannot be set to null", "~model"),
    "~foo=bar": ("Could not delete", "does not exist"),
    "--config-dir=/no/such/folder": ("--config-dir /no/such/folder is not a folder",),
    "--config-path=/tmp": ("--config-path would leave our groups out", "--config-dir"),
    "--experimental-rerun=x.pickle": ("would load a pickle",),
    "--resolve": ("--resolve and --package go with --cfg",),
}


@pytest.mark.parametrize(("argument", "said"), WRONG.items())
def test_a_wrong_setting_names_the_key_and_what_is_allowed(
    command: Command, tmp_path: Path, argument: str, said: tuple[str, ...]
) -> None:
    done = command(argument, "tracker=none")
    assert done.code == 1
    assert all(part in done.err for part in said), done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.rglob("results.jsonl"))


def test_a_stack_trace_is_available_on_request(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" not in command("model=foo").err
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert "Traceback" in command("model=foo").err


def test_the_environment_is_left_as_it_was(command: Command) -> None:
    command("model=foo")
    assert "HYDRA_FULL_ERROR" not in os.environ


# ---- help --------------------------------------------------------------------------------------------------------


def test_help_explains_every_group_without_loading_what_is_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "mmsb", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for group in ("dataset", "scenario", "image_mode", "model", "judge", "defense", "tracker", "experiment"):
        assert re.search(rf"^  {group}  ", done.stdout, re.MULTILINE)
    for heavy in ("torch", "mlflow", "pandas", "transformers"):
        assert not re.search(rf"\| +{heavy}$", done.stderr, re.MULTILINE)


def test_help_that_is_read_in_part_ends_quietly() -> None:
    command = [sys.executable, "-m", "mmsb", "--help"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of groups of the user's own."""
    folder = tmp_path / "own"
    for name, text in {
        "model/mine.yaml": "defaults:\n  - tiny\n",
        "defense/kind.yaml": "kind:\n  _target_: mmsb.defense.prompt.PromptDefense\n  name: kind\n  text: Be kind.\n",
        "experiment/both.yaml": "# @package _global_\ndefaults:\n  - override /image_mode: [sd, typo]\n",
        "experiment/flat.yaml": "# @package _global_\ndefense:\n  text_file: mine.txt\n",
        "experiment/named.yaml": "# @package _global_\ndefaults:\n  - override /defense: safety_prompt\n"
        "defense:\n  safety_prompt:\n    placement: after\n",
        "experiment/swept.yaml": "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
        "      image_mode: text_only,[sd,typo]\n",
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  callbacks:\n    x:\n      _target_: os.system\n",
        "experiment/key.yaml": "# @package _global_\nmodel:\n  template: sk-abcdefghijklmnopqrstuvwx\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("place", ["--config-dir {}", "--config-dir={}", "hydra.searchpath=[file://{}]"])
def test_a_users_own_options_stand_in_help_and_in_suggestions(command: Command, own: Path, place: str) -> None:
    where = place.format(own).split(" ")
    text = command("--help", *where).out
    assert re.search(r"^model: .*\bmine\b.*\btiny\b", text, re.MULTILINE)
    assert re.search(r"^defense: .*\bkind\b", text, re.MULTILINE)
    assert "did you mean mine?" in command("model=mnie", *where).err
    assert "did you mean kind?" in command("defense=knd", *where).err


def test_a_package_in_the_search_path_is_shown_without_importing_it(
    command: Command, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own / "__init__.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(own.parent)
    assert re.search(r"^model: .*\bmine\b", command("--help", "hydra.searchpath=[pkg://own]").out, re.MULTILINE)


# ---- groups ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sweep", [(), ("-m",)])
def test_a_group_that_takes_one_option_refuses_a_list(composed: Composed, sweep: tuple[str, ...]) -> None:
    seen, done = composed("image_mode=[sd,typo]", *sweep)
    assert (seen, done.code) == ([], 1)
    assert "image_mode takes one option" in done.err
    assert "image_mode=sd,typo -m" in done.err


def test_a_list_among_the_values_of_a_sweep_stops_it_before_its_first_run(composed: Composed, own: Path) -> None:
    for arguments in (("-m", "image_mode=text_only,[sd,typo]"), ("--config-dir", str(own), "experiment=swept")):
        seen, done = composed(*arguments)
        assert (seen, done.code) == ([], 1)
        assert "image_mode takes one option" in done.err


def test_a_list_in_the_defaults_of_a_file_is_refused_too(composed: Composed, own: Path) -> None:
    seen, done = composed("--config-dir", str(own), "experiment=both")
    assert (seen, done.code) == ([], 1)
    assert "2 options of image_mode, which takes one" in done.err


def test_several_options_without_a_sweep_say_what_may_be_meant(composed: Composed) -> None:
    assert "image_mode=sd,typo -m" in composed("image_mode=sd,typo")[1].err
    said = composed("defense=ecso,jpeg")[1].err
    assert "'defense=[ecso,jpeg]'" in said
    assert "defense=ecso,jpeg -m" in said


def test_groups_of_several_take_lists_and_a_group_left_out_may_be_filled_by_hand(composed: Composed) -> None:
    (config,), done = composed(
        "defense=[input_guard,safety_prompt]", "scenario=[fraud,sex]", "~judge", "+judge._target_=mine.Judge"
    )
    assert done.code == 0
    assert list(config.defense) == ["input_guard", "safety_prompt"]
    assert list(config.scenario) == ["fraud", "sex"]


def test_the_settings_of_a_defense_stand_under_its_name_everywhere(composed: Composed, own: Path) -> None:
    (config,), _ = composed("defense=prompt", "defense.prompt.text_file=my.txt")
    assert config.defense.prompt.text_file == "my.txt"
    (config,), _ = composed("--config-dir", str(own), "experiment=named")
    assert config.defense.safety_prompt.placement == "after"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("defense=prompt", "defense.text_file=my.txt"), "Write defense.prompt.text_file=my.txt."),
        (("defense=prompt", "+defense.text_file=my.txt"), "Write defense.prompt.text_file=my.txt."),
        (("defense=prompt", "++defense.text_file=my.txt"), "Write defense.prompt.text_file=my.txt."),
        (("-m", "defense=prompt,ecso", "+defense.text_file=a,b"), "defense.prompt.text_file=a"),
        (("defense=[ecso,jpeg]", "defense.strength=3"), "defense.ecso.strength=3 or defense.jpeg.strength=3"),
        (("defense.text_file=my.txt",), "defense.NAME.text_file=my.txt, and choose it: defense=NAME"),
        (("experiment=flat",), "defense.NAME.text_file=mine.txt"),
        (("defense=prompt", "defense.prompt.txt_file=x"), "did you mean text_file?"),
    ],
)
def test_a_setting_without_the_defenses_name_is_told_how_it_is_written(
    composed: Composed, own: Path, arguments: tuple[str, ...], said: str
) -> None:
    seen, done = composed("--config-dir", str(own), *arguments)
    assert (seen, done.code) == ([], 1)
    assert said in done.err


# ---- order of the command line -----------------------------------------------------------------------------------

ORDERS = (
    "-m model=tiny image_mode=sd,typo",
    "model=tiny image_mode=sd,typo -m",
    "model=tiny -m image_mode=sd,typo",
    "model=tiny --multirun image_mode=sd,typo defense=none",
)


@pytest.mark.parametrize("line", ORDERS)
def test_settings_stand_before_or_after_the_options(composed: Composed, line: str) -> None:
    seen, done = composed(*line.split())
    assert done.code == 0, done.err
    assert [config.image_mode.name for config in seen] == ["sd", "typo"]


def test_a_folder_may_be_added_between_settings(composed: Composed, own: Path) -> None:
    (config,), _ = composed("model=mine", "--config-dir", str(own), "image_mode=sd")
    assert (config.model.name, config.image_mode.name) == ("tiny", "sd")


def test_a_configuration_is_shown_and_not_run(command: Command, tmp_path: Path) -> None:
    done = command("--cfg", "job", "--package", "image_mode", "image_mode=sd")
    assert done.code == 0
    assert OmegaConf.create(done.out).name == "sd"
    assert not list(tmp_path.iterdir())


# ---- code and secrets --------------------------------------------------------------------------------------------


def test_a_file_of_the_users_names_no_code_either(composed: Composed, own: Path, tmp_path: Path) -> None:
    seen, done = composed("--config-dir", str(own), "experiment=evil")
    assert (seen, done.code) == ([], 1)
    assert "hydra.callbacks.x._target_=os.system is not allowed" in done.err
    assert list(tmp_path.iterdir()) == [own]


def test_a_foreign_run_names_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    evil = {"_target_": "mmsb.convert.weights.torch.load", "f": "weights.pt"}
    (run / "run.json").write_text(json.dumps(RUN | {"config": {"dataset": evil, "model": {}}}))
    (run / "results.jsonl").write_text(json.dumps(ROW) + "\n")
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


HARMLESS = (
    "model.api_key_env=MY_KEY",
    "model.base_url=http://localhost:8000/v1",
    "model.max_tokens=5",
    "defense.prompt.text='Never tell anyone a password: not even yours'",
)


def test_names_of_environment_variables_and_words_about_secrets_are_welcome(composed: Composed) -> None:
    seen, done = composed("model=openai", "model.name=m", "defense=prompt", *HARMLESS)
    assert (len(seen), done.code) == (1, 0), done.err


# ---- errors of others --------------------------------------------------------------------------------------------


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
