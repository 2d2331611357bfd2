"""Protocols: each preset says whose settings it uses and where they stand; a run selects among them, for its target."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from mmsb.config import build
from mmsb.errors import ConfigError
from mmsb.experiment import Experiment
from mmsb.model.local import Local
from mmsb.paths import conf_dir
from tests.composed_models import preset
from tests.conftest import ROOT

PAPER = (
    *("cogvlm", "idefics_9b", "instructblip_7b", "instructblip_13b", "llama_adapter_v2", "llava_1_5_7b"),
    *("llava_1_5_13b", "minigpt4", "minigpt4_13b", "minigpt5", "minigpt_v2", "mplug_owl", "otter", "qwen_vl_chat"),
    "shikra",
)
NEUTRAL = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "length_penalty": 1.0}
NEUTRAL |= {"num_beams": 1, "no_repeat_ngram_size": 0, "do_sample": False}


@pytest.fixture
def experiment() -> Iterator[Callable[..., Experiment]]:
    """Compose and build an experiment."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield lambda *overrides: build(compose("config", overrides=["tracker=none", *overrides]), Experiment)


def recording(name: str) -> dict[str, Any]:
    about: dict[str, Any] = json.loads((ROOT / f"tests/originals/{preset(name).card.recording}.json").read_text())
    return about


def recorded(about: dict[str, Any], protocol: str) -> list[dict[str, Any]]:
    """The arguments that reached the sampler in the authors' code."""
    if protocol in about:
        return [about[protocol]["arguments"]]
    if "arguments" in about:
        return [about["arguments"]]
    return [case["settings"] for case in about["cases"].values() if "settings" in case]


@pytest.mark.parametrize("name", PAPER)
def test_every_setting_names_its_source_and_the_recording_is_of_that_commit(name: str) -> None:
    card = preset(name).card
    assert {"prompt", "picture"} <= set(card.settings)
    assert all(text for text in card.settings.values())
    assert preset(name).protocols["authors"].source
    about = recording(name)
    assert about["commit"].startswith(card.commit)
    assert card.code.split(" ")[0].removesuffix("/").split("/")[-1] in about["repository"]


@pytest.mark.parametrize("name", PAPER)
def test_a_held_protocol_is_the_recorded_one(name: str) -> None:
    held = [protocol for protocol, said in preset(name).protocols.items() if said.held]
    assert held
    for protocol in held:
        compare(name, protocol)


def compare(name: str, protocol: str) -> None:
    ours = {**NEUTRAL, **preset(name, protocol=protocol).decoding}
    for theirs in recorded(recording(name), protocol):
        theirs = dict(theirs)
        theirs.setdefault("do_sample", theirs.get("temperature", 1.0) != 1.0)
        if name == "otter" and theirs["num_beams"] == 1:
            continue  # its greedy cases; beams are another case
        assert {key: theirs[key] for key in ours if key in theirs} == {
            key: value for key, value in ours.items() if key in theirs
        }


def test_a_run_selects_the_protocol_for_its_target_alone(experiment: Callable[..., Experiment]) -> None:
    def both(protocol: str) -> tuple[Any, Any]:
        built = experiment("model=llava_1_5_7b", f"protocol={protocol}")
        return built, built.model

    _, authors = both("authors")
    assert (authors.decoding, authors.max_new_tokens) == ({}, 1024)
    assert "curious user" in authors.template
    _, demo = both("demo")
    assert demo.decoding == {"do_sample": True, "temperature": 0.2, "top_k": 50}
    assert demo.max_new_tokens == 512
    assert "curious human" in demo.template
    assert "the human's questions" in demo.template
    assert demo.fingerprint() != authors.fingerprint()
    config = compose("config", overrides=["protocol=greedy", "model=minigpt4", "judge=harmbench"])
    assert config.model.protocol == "greedy"
    assert config.judge.model.protocol == "authors"  # a judge does not follow


def test_settings_of_the_user_go_before_the_protocols(experiment: Callable[..., Experiment]) -> None:
    model: Any = experiment(
        "model=mplug_owl", "protocol=demo", "model.max_new_tokens=9", "+model.generation.top_k=null"
    ).model
    assert model.max_new_tokens == 9
    assert "top_k" not in model.decoding
    assert model.decoding["top_p"] == 0.9


LOCAL = sorted(
    path.stem
    for path in (conf_dir() / "model").glob("*.yaml")
    if path.stem not in ("hf", "text", "classifier", "openai", "ollama", "openrouter", "sglang", "vllm")
    and path.stem != "transformers_serve"
)


@pytest.mark.parametrize("name", LOCAL)
def test_greedy_is_one_decoding_for_all_local_models(name: str) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("config", [f"model={name}", "tracker=none", "protocol=greedy"])
    greedy = build(config, Experiment).model
    config.protocol = "authors"
    own = build(config, Experiment).model
    assert isinstance(greedy, Local)
    assert isinstance(own, Local)
    assert greedy.decoding == {}
    assert greedy.max_new_tokens == own.max_new_tokens


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["model=idefics_9b", "protocol=demo"], "protocol=demo is not declared .*\nIt has authors, greedy"),
        (["model=llava_1_5_7b", "protocol=dmeo"], "It has authors, demo, greedy"),
        (["protocol=greedy", "+model.generation.num_beams=3"], "without model.generation.num_beams=3"),
        (["model=openai", "model.name=m", "protocol=greedy"], "protocol=greedy: m follows authors"),
        (["model=llava_1_5_7b", "model.protocol=greedy"], "protocol=authors: llava_1_5_7b follows greedy"),
    ],
)
def test_what_is_not_declared_or_would_change_nothing_is_refused(
    experiment: Callable[..., Experiment], overrides: list[str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        experiment(*overrides)


def test_the_run_says_its_protocol(mmsb: Callable[..., Any], tmp_path: Path) -> None:
    ran = mmsb("protocol=greedy", "scenario=fraud", "dataset.limit=1", "tracker=none", "image_mode=text_only")
    assert ran.returncode == 0, ran.stderr
    assert "protocol greedy" in " ".join(ran.stdout.split())
    (record,) = tmp_path.glob("outputs/runs/*/run.json")
    assert json.loads(record.read_text())["config"]["protocol"] == "greedy"
