"""The command line, in process: what is refused, what is said about it, and what is left behind."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mmsb.hydra_app import parse
from mmsb.run import SavedRun
from mmsb.tracker.none import NoTracker
from mmsb.unread import may_stay_unread
from tests.commanding import Command, Composed
from tests.conftest import ROOT
from tests.endpoint import ChatServer

pytestmark = pytest.mark.usefixtures("elsewhere")


WRONG = {
    "model=foo": ("model=foo is not an option", "allowed: "),
    "scenario=frod": ("scenario=frod is not an option", "did you mean fraud?"),
    "model.btch_size=4": ("model.btch_size is not a setting", "did you mean batch_size?"),
    "+model.foo=4": ("model.foo is not a setting", "batch_size"),
    "model.batch_size=many": ("model.batch_size='many'", "valid integer"),
    "model.batch_size=0": ("model.batch_size=0", "greater than 0"),
    "model=hf": ("no value for model.name_or_path", "Add model.name_or_path=..."),
    "dataset=mm_safetybench": ("no value for dataset.root", "Add dataset.root=..."),
    "limit=3": ("limit is not a setting by itself", "dataset.limit=3"),
    "foo=bar": ("foo is not a setting", "dataset, scenario, image_mode"),
    "datset.limit=2": ("datset.limit is not a setting", "did you mean dataset.limit?"),
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
    "sd_typo": ("'sd_typo' is no setting", "KEY=VALUE"),
    "model.name=${oc.env:NO_SUCH_VARIABLE}": ("NO_SUCH_VARIABLE", "is not set", "export NO_SUCH_VARIABLE="),
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


def test_a_stream_that_says_nothing_of_what_it_wrote_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrapped(io.StringIO):  # as Ray has it in the processes of its tasks
        def write(self, text: str) -> int:
            super().write(text)
            return None  # type: ignore[return-value]

    stream = Wrapped()
    monkeypatch.setattr(sys, "stdout", stream)
    with may_stay_unread():
        assert sys.stdout.write("read") == 4
    assert stream.getvalue() == "read"


def test_a_run_whose_reader_has_left_is_recorded(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[SavedRun] = []
    monkeypatch.setattr(NoTracker, "log", lambda self, run, asked: recorded.append(run))
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as left, ChatServer() as server:
        monkeypatch.setattr(sys, "stdout", left)
        endpoint = ("model=openai", "model.name=m", f"model.base_url={server.url}", "model.api_key_env=null")
        done = command(*endpoint, "scenario=fraud", "dataset.limit=1", "image_mode=text_only", "tracker=none")
    assert (done.code, len(recorded)) == (0, 1), done.err
    assert "Error" not in done.err


@pytest.mark.parametrize("place", ["--config-dir {}", "--config-dir={}", "hydra.searchpath=[file://{}]"])
def test_a_users_own_options_stand_in_help_and_in_suggestions(command: Command, own: Path, place: str) -> None:
    where = place.format(own).split(" ")
    text = command("--help", *where).out
    assert re.search(r"\bmine\b[\w\s,]*\btiny\b", text)
    assert re.search(r"\bjpeg, kind, mllm_protector\b", " ".join(text.split()))
    assert "did you mean mine?" in command("model=mnie", *where).err
    assert "did you mean kind?" in command("defense=knd", *where).err


def test_a_package_in_the_search_path_is_shown_without_importing_it(
    command: Command, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own / "__init__.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(own.parent)
    assert " mine, " in " ".join(command("--help", "hydra.searchpath=[pkg://own]").out.split())


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
    "model=tiny --multirun image_mode=sd,typo",
)


@pytest.mark.parametrize(("line", "runs"), [("image_mode=sd", 1), ("experiment=none_such", 0), ("experiment=two", 2)])
def test_a_command_is_composed_once(
    line: str, runs: int, composed: Composed, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hydra does it to see whether it is a sweep, and again to run it."""
    (own / "experiment/two.yaml").write_text(
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      image_mode: sd,typo\n"
    )
    times, compose = [], ConfigLoaderImpl._load_configuration_impl

    def counted(*args: Any, **more: Any) -> DictConfig:
        times.append(more["run_mode"])
        return compose(*args, **more)

    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", counted)
    seen, done = composed(f"--config-dir={own}", line)
    assert (len(seen), done.code) == (runs, 0 if runs else 1), done.err
    assert times == [RunMode.MULTIRUN, *[RunMode.RUN] * (runs if runs > 1 else 0)]  # the command, the runs of a sweep


def test_a_group_without_an_option_is_told(composed: Composed, own: Path) -> None:
    (own / "experiment/open.yaml").write_text("# @package _global_\ndefaults:\n  - /tracker@second: ???\n")
    _, done = composed(f"--config-dir={own}", "experiment=open")
    assert done.code == 1
    assert "You must specify 'tracker@second'" in done.err


def test_settings_stand_before_or_after_the_options(composed: Composed) -> None:
    assert {(args.multirun, *args.overrides) for args in map(parse, map(str.split, ORDERS))} == {
        (True, "model=tiny", "image_mode=sd,typo")
    }
    seen, done = composed(*ORDERS[2].split())
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
