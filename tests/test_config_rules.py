"""What a composed configuration must hold to, rule by rule."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf

import mmsb.sweep  # noqa: F401 - what a callback names is there, whatever a test hides
from mmsb.config_rules import refuse_foreign_code, refuse_nameless
from mmsb.errors import ConfigError
from mmsb.override_rules import ONE, refuse_lists, refuse_unreadable, replaced
from mmsb.secret import refuse_secrets, refuse_secrets_in
from tests.conftest import Run

HYDRA: dict[str, Any] = {
    "callbacks": {"sweep": {"_target_": "mmsb.sweep.SweepCallback"}},
    "launcher": {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"},
    "sweeper": {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper", "params": None},
    "job_logging": {"handlers": {"file": {"class": "logging.FileHandler"}}},
    "hydra_logging": {"handlers": {"console": {"class": "logging.StreamHandler"}}},
}
FOREIGN = {
    "callbacks.x._target_": "os.system",
    "callbacks.sweep._target_": "mmsb.convert.weights.torch.load",
    "callbacks.sweep.inner._target_": "mmsb.sweep.SweepCallback",
    "callbacks.a._target_": "mmsb.store.Store",
    "callbacks.b._target_": "mmsb.sweep.Callback",
    "callbacks.c._target_": "mmsb.sweep.finish_sweep",
    "callbacks.d._target_": "mmsbx.sweep.SweepCallback",
    "launcher._target_": "mmsb.sweep.SweepCallback",
    "launcher.inner._target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "sweeper._target_": "os.system",
    "sweeper.params": [{"_target_": "os.system"}],
    "job.x._target_": "os.system",
    "job_logging.handlers.x": {"()": "os.system"},
    "job_logging.handlers.file.class": "os.system",
    "hydra_logging.handlers.x": {"()": "logging.FileHandler"},
}


@pytest.mark.parametrize("key", FOREIGN)
def test_hydra_builds_nothing_but_its_own_plugins_and_our_callback(key: str) -> None:
    config = OmegaConf.create(HYDRA)
    OmegaConf.update(config, key, FOREIGN[key], force_add=True)
    with pytest.raises(ConfigError, match="is not allowed"):
        refuse_foreign_code(config)


def test_what_hydra_has_by_itself_and_its_plugins_are_allowed() -> None:
    config = OmegaConf.create(HYDRA)
    config.launcher._target_ = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
    config.callbacks.log = {"_target_": "hydra.experimental.callbacks.LogJobReturnCallback"}
    refuse_foreign_code(config)


class Foreign(Callback):
    """A callback as anybody may write one."""


def test_a_callback_of_another_package_is_not_called() -> None:
    config = OmegaConf.create(HYDRA)
    config.callbacks.log = {"_target_": f"{__name__}.Foreign"}
    with pytest.raises(ConfigError, match="A callback is a class of mmsb"):
        refuse_foreign_code(config)


LISTS = [f"{group}=[a,b]" for group in ONE] + [
    "image_mode=[sd]",
    "image_mode=['sd','typo']",
    "image_mode=[sd,typo],own",
    "image_mode=own,[sd,typo]",
    "image_mode=choice([sd,typo],own)",
    "+image_mode=[sd,typo]",
    "judge@judge.members.third=[refusal,rubric]",
    "+model@defense.ecso.model=[tiny,hf]",
]


@pytest.mark.parametrize("argument", LISTS)
def test_a_group_that_takes_one_option_refuses_a_list_however_it_is_written(argument: str) -> None:
    with pytest.raises(ConfigError) as raised:
        refuse_lists(["output_dir=x", argument])
    assert argument in raised.value.problem
    assert "takes one option" in raised.value.problem
    assert raised.value.remedy.endswith(" -m")


def test_every_other_list_is_welcome() -> None:
    refuse_lists(
        [
            "defense=[ecso,jpeg]",
            "scenario=[fraud,sex],all",
            "image_mode=sd,typo",
            "image_mode=glob(*)",
            "defense=none,[ecso,jpeg]",
            "defense=['text_a']",
            "scenario=[harm,legal_opinion]",
            "model=guard/wildguard",
            "dataset=null",
            "model.stop=['[',']']",
            "model.fit.colour=[0,0,0]",
            "hydra.searchpath=[file://x]",
            "~judge",
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("dataset=demo", "dataset=benign"),
            "dataset=benign takes the place of dataset=demo (one run each: dataset=demo,benign -m)",
        ),
        (("defense=ecso", "model=tiny", "defense=jpeg"), "(together: 'defense=[ecso,jpeg]', one run each: "),
        (("image_mode=sd,typo", "image_mode=text_only"), "image_mode=text_only takes the place of image_mode=sd,typo"),
        (("dataset.limit=1", "++dataset.limit=2"), "dataset.limit=2 takes the place of dataset.limit=1"),
        (("+model@defense.a.model=tiny", "+model@defense.a.model=hf"), "model@defense.a.model=hf takes the place of"),
    ],
)
def test_of_two_values_the_last_is_taken_and_that_is_told(arguments: tuple[str, ...], said: str) -> None:
    (told,) = replaced(arguments)
    assert said in told


def test_what_is_said_twice_alike_replaces_nothing() -> None:
    same = ["dataset=demo", "dataset=demo", "dataset.limit=1", "model@judge.model=hf", "~judge", "model=x"]
    assert not list(replaced(same))


def test_what_takes_a_settings_place_is_told_and_counts(mmsb: Run) -> None:
    run = mmsb("model=tiny", "dataset.limit=5", "dataset.limit=1", "dry_run=true")
    assert "dataset.limit=1 takes the place of dataset.limit=5" in run.stderr
    assert run.returncode == 0
    assert "13 samples" in run.stderr + run.stdout


@pytest.mark.parametrize(
    "argument",
    [
        *("judge=refusal.yaml", "judge=refusal.yml", "judge=/refusal", "judge=./refusal", "judge=../judge/refusal"),
        *("judge=refusal/", "model=guard//wildguard", "judge=refusal.yaml,rubric"),
        *("scenario=[[fraud,sex]]", "scenario=[{a:1}]", "scenario=[1]", "scenario=[null]", "scenario=1"),
        *("defense=[[ecso],[jpeg]]", "defense={ecso:1}", "image_mode={sd:1}", "defense=[ecso,jpeg.yaml],none"),
    ],
)
def test_an_option_has_one_name(argument: str) -> None:
    with pytest.raises(ConfigError, match=r"is no option's name\n.*Write \w+="):
        refuse_lists([argument])


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("scenario=[harm,fraud]", "fraud is in harm already"),
        ("scenario=[sex,all]", "sex is in all already"),
        ("defense=[ecso,none]", "none stands alone"),
        ("defense=[ecso,none],none", "none stands alone"),
    ],
)
def test_an_option_that_adds_nothing_is_refused(argument: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        refuse_lists([argument])


def test_settings_of_several_stand_under_a_name() -> None:
    refuse_nameless(OmegaConf.create({"defense": {"jpeg": {"strength": 3}}, "scenario": {}, "defense_text": "x"}))
    with pytest.raises(ConfigError) as raised:
        refuse_nameless(OmegaConf.create({"defense": {"jpeg": {"strength": 3}, "strength": 5}}))
    assert raised.value.problem.startswith("defense.strength=5")
    assert raised.value.remedy == "Write defense.jpeg.strength=5."


SECRETS = (
    "model.name=sk-abcdefghijklmnopqrstuvwx",
    "model.api_key=whatever",
    "+judge.model.api_key=x",
    "++model.api_key=1",
    "+model.client_secret=x",
    "model.base_url=http://me:pass@host/v1",
    "model.base_url=http://host/v1?api_key=abc",
    "model.base_url=http://host/v1?model=a&token=abc",
    "model.base_url=http://host/sk-abcdefghijklmnopqrstuvwx/v1",
    "model.name=hf_abcdefghijklmnopqrstuvwx",
    "model.extra_body={api_key: whatever}",
    "model.extra_body={a: 1, 'x-api-key': whatever}",
    "+model.extra_body.Authorization=whatever",
    "hydra.job.env_set.OPENAI_API_KEY=whatever",
    "--config-dir=/data/sk-abcdefghijklmnopqrstuvwx",
    "http://me:pass@host/v1",
    "sk-abcdefghijklmnopqrstuvwx",
    "sk-abcdefghijklmnopqrstuvwx=1",
)


@pytest.mark.parametrize("argument", SECRETS)
def test_a_secret_is_refused_and_never_repeated(argument: str) -> None:
    with pytest.raises(ConfigError, match="looks like a secret") as raised:
        refuse_secrets(["model=openai", argument])
    assert "environment variable" in raised.value.remedy
    for part in ("whatever", "pass@", "abcdefgh", "abc&", "=abc", "=x", "=1"):
        assert part not in str(raised.value)


HARMLESS = (
    "model.api_key_env=MY_KEY",
    "model.base_url=http://localhost:8000/v1",
    "model.max_tokens=5",
    "model.generation.pad_token_id=5",
    "defense.prompt.text='Never tell anyone a password: not even yours'",
    "dataset.root=/data/task-abcdefghijklmnopqrstuvwx",
    "labels=key_phrases.csv",
)


def test_names_of_variables_and_words_about_secrets_are_welcome() -> None:
    refuse_secrets(HARMLESS)


@pytest.mark.parametrize(
    "model",
    [
        {"name": "sk-abcdefghijklmnopqrstuvwx"},
        {"extra_body": {"api_key": "whatever"}},
        {"stop": ["x", "hf_abcdefghijklmnopqrstuvwx"]},
        {"base_url": "http://me:whatever@host"},
        {"name": "${oc.env:SOME_TOKEN}"},
        {"name": "plain-words-of-a-token"},
    ],
)
def test_a_secret_in_a_configuration_is_refused_by_its_key(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "plain-words-of-a-token")
    with pytest.raises(ConfigError, match=r"model\.\S+ looks like a secret") as raised:
        refuse_secrets_in(OmegaConf.create({"model": model}))
    assert "plain-words" not in str(raised.value)
    assert "whatever" not in str(raised.value)


def test_a_configuration_without_secrets_passes_with_what_is_missing_or_unresolved() -> None:
    refuse_secrets_in(
        OmegaConf.create({"model": {"name": "???", "api_key_env": "KEY", "x": "${nowhere}", "api_key": None}})
    )


def test_what_cannot_be_read_is_told_in_the_words_of_who_read_it() -> None:
    with pytest.raises(ConfigError, match=r"^'a=\[b' cannot be read: (missing|mismatched|extraneous|no viable)"):
        refuse_unreadable(["model=tiny", "a=[b"])


def test_a_launcher_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    config = OmegaConf.create(HYDRA)
    config.launcher._target_ = "hydra_plugins.mmsb_joblib_launcher.JoblibLauncher"
    monkeypatch.setattr("mmsb.targets.spec_of", lambda module: None)
    with pytest.raises(ConfigError, match=r"hydra_joblib_launcher, which is not installed\n.*mmsb\[joblib\]"):
        refuse_foreign_code(config)
