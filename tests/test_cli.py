from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmsb.cli import refuse_secrets, spread_defense_settings
from mmsb.errors import ConfigError
from tests.conftest import ROOT, Run

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
    "model._target_=os.system": ("model._target_=os.system is not allowed", "trusted_packages"),
    "model.name_or_path=/nowhere": ("model.name_or_path=/nowhere: there is no such folder", "hub id"),
    "image_mode.font.path=/no/font.ttf": ("font.path=/no/font.ttf: there is no such file", "Liberation Sans"),
    "image_mode.font.path=/etc/hostname": ("font.path=/etc/hostname: not a TrueType font", "Liberation Sans"),
    "output_dir=/proc/nowhere": ("/proc/nowhere: No such file", "output_dir=..."),
    "experiment=nope": ("experiment=nope is not an option", "demo"),
}


@pytest.mark.parametrize(("argument", "said"), WRONG.items())
def test_a_wrong_setting_names_the_key_and_what_is_allowed(
    mmsb: Run, tmp_path: Path, argument: str, said: tuple[str, str]
) -> None:
    done = mmsb(argument, "tracker=none")
    assert done.returncode == 1
    assert all(part in done.stderr for part in said), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("results.jsonl"))


def test_a_stack_trace_is_available_on_request(mmsb: Run) -> None:
    assert "Traceback" in mmsb("model=foo", HYDRA_FULL_ERROR="1").stderr


def test_help_explains_every_group_without_loading_what_is_heavy(mmsb: Run) -> None:
    done = mmsb("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
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


@pytest.mark.parametrize(
    "argument",
    [
        "model.name=sk-abcdefghijklmnopqrstuvwx",
        "model.api_key=whatever",
        "+judge.model.api_key=x",
        "model.base_url=http://me:pass@host/v1",
        "model.name=hf_abcdefghijklmnopqrstuvwx",
    ],
)
def test_a_secret_on_the_command_line_is_refused_before_anything_is_written(
    mmsb: Run, tmp_path: Path, argument: str
) -> None:
    done = mmsb(argument, "tracker=none")
    assert done.returncode == 1
    assert "environment variable" in done.stderr
    assert argument.partition("=")[2] not in done.stderr
    assert not list(tmp_path.iterdir())


def test_names_of_environment_variables_are_welcome() -> None:
    refuse_secrets(["model.api_key_env=MY_KEY", "model.base_url=http://localhost:8000/v1"])
    with pytest.raises(ConfigError):
        refuse_secrets(["++model.api_key=1"])


def test_settings_of_a_single_defense_need_not_repeat_its_name() -> None:
    assert spread_defense_settings(["defense=safety_prompt", "defense.text_file=a.txt"]) == [
        "defense=safety_prompt",
        "defense.safety_prompt.text_file=a.txt",
    ]
    kept = ["defense=[none,safety_prompt]", "defense.safety_prompt.placement=after"]
    assert spread_defense_settings(kept) == kept
