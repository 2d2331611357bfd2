"""Before the first run starts, all of them are composed, built and checked, once."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mmsb.errors import MmsbError
from mmsb.hydra_app import one_of_each
from mmsb.model.hf import HF
from mmsb.paths import PACKAGE
from mmsb.preflight import disk
from mmsb.preflight.engines import keys
from mmsb.run import SavedRun
from tests.conftest import Run
from tests.endpoint import Act, ChatServer, completion, error

CANARY = "sk-canary-0123456789abcdefghij"
QUIET = ("tracker=none", "scenario=fraud", "dataset.limit=1")


def test_an_error_of_all_runs_is_told_once_and_leaves_no_folder(mmsb: Run, tmp_path: Path) -> None:
    done = mmsb("-m", "judge=rubric", "image_mode=sd,typo,sd_typo", "judge.model.base_url=http://x/v1", *QUIET)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: no value for judge.model.name (all 3 runs)",
        "  try: Add judge.model.name=... to the command.  (the judging model; the paper's was gpt-4)",
    ]
    assert not list(tmp_path.iterdir())


def test_an_error_of_some_runs_names_what_they_share_and_no_run_is_started(mmsb: Run, tmp_path: Path) -> None:
    done = mmsb("-m", "model=tiny,hf", "image_mode=sd,typo", *QUIET)
    assert done.returncode == 1
    assert "no value for model.name_or_path (2 of 4 runs: model=hf)" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_setting_of_the_options_that_are_swept_over_is_one_of_each_run(mmsb: Run, tmp_path: Path) -> None:
    judges = ("judge=rubric,graded", "judge.model.name=x", "judge.model.api_key_env=NO_SUCH_KEY")
    done = mmsb("-m", *judges, *QUIET)
    assert "the environment variable NO_SUCH_KEY is not set (all 2 runs)" in done.stderr  # and each has its setting
    done = mmsb("-m", "defense=ecso,none", "defense.ecso.shown=9", *QUIET)
    assert done.stderr.startswith("error: defense.ecso.shown is not a setting (1 of 2 runs: defense=none)")
    done = mmsb("-m", "judge=rubric,graded", "judge.model.nme=x", *QUIET)
    assert "judge.model.nme is not a setting\n  try: did you mean name?" in done.stderr
    assert not list(tmp_path.iterdir())


def test_different_errors_are_all_told_each_with_what_to_do(mmsb: Run, tmp_path: Path) -> None:
    done = mmsb("-m", "model=hf", "model.name_or_path=/not/here,./nor/here,nobody/has-this", *QUIET)
    lines = done.stderr.splitlines()
    assert lines[0] == "error: 3 things keep these 3 runs from starting, and nothing was started"
    assert "/not/here: there is no such folder (1 of 3 runs: model.name_or_path=/not/here)" in lines[1]
    assert "./nor/here: there is no such folder (1 of 3 runs" in lines[3]
    assert "nobody/has-this is no folder and not in the hub's cache, and HF_HUB_OFFLINE forbids" in lines[5]
    assert "hf download nobody/has-this" in lines[6]
    assert not list(tmp_path.iterdir())


def test_a_wrong_option_of_one_run_is_found_before_the_others_start(mmsb: Run, tmp_path: Path) -> None:
    done = mmsb("-m", "model=tiny", "judge=refusal,refusle", *QUIET)
    assert "judge=refusle is not an option" in done.stderr
    assert done.stderr.count("error:") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("judge", "file", "said"),
    [
        ("rubric", "rubric_file", "judge.rubric_file=nowhere.txt cannot be read"),
        ("official", "evaluation_file", "judge.evaluation_file=nowhere.txt: there is no such file"),
    ],
)
def test_a_judges_file_is_looked_at_before_anything_is_asked(
    mmsb: Run, tmp_path: Path, judge: str, file: str, said: str
) -> None:
    endpoint = ("judge.model.name=x", "judge.model.api_key_env=null", "judge.model.base_url=http://127.0.0.1:9/v1")
    done = mmsb("model=tiny", f"judge={judge}", *endpoint, f"judge.{file}=nowhere.txt", *QUIET)
    assert (done.returncode, done.stderr.count("error:")) == (1, 1)
    assert f"error: {said}" in done.stderr
    assert "plan:" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("defense", "file", "said"),
    [
        ("prompt", "text_file", "defense.prompt.text_file=nowhere cannot be read"),
        ("bluesuffix", "original", "original=nowhere cannot be read"),
        ("adashield_adaptive", "pool_file", "pool_file=nowhere is not a pool"),
    ],
)
def test_a_defenses_file_is_looked_at_before_a_sweep_begins(
    mmsb: Run, tmp_path: Path, defense: str, file: str, said: str
) -> None:
    done = mmsb("model=tiny", f"defense={defense}", f"defense.{defense}.{file}=nowhere", "dataset=demo,benign", "-m")
    assert (done.returncode, done.stderr.count("error:")) == (1, 1)
    assert f"error: {said}" in done.stderr
    assert "(all 2 runs)" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name_or_path": "."}, r"name_or_path=\. holds no config\.json"),
        ({"adapter": Path("nowhere")}, "adapter=nowhere holds no adapter_config"),
        ({"template": "nowhere.jinja"}, r"template=nowhere\.jinja cannot be read"),
        ({"template": "{{ nope"}, "template={{ nope is no Jinja"),
        ({"template": "{{ bos_token }}Hello"}, "leaves out what is said"),
        ({"template": "{{ messages[0].content }}"}, "it is a list of parts"),
        ({"quantization": "4bit"}, "quantization=4bit needs bitsandbytes"),
        ({"attention": "flash_attention_2"}, "attention=flash_attention_2 needs flash_attn"),
        ({"generation": {"do_smaple": True}}, "do_smaple=True: generate has no such argument\ndid you mean do_sample"),
        ({"device": "cuda:99"}, "device=cuda:99 cannot be used here"),
    ],
)
def test_what_a_local_models_settings_name_is_looked_at_without_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    model = HF(name="tiny", name_or_path=str(PACKAGE / "model" / "tiny" / "checkpoint"))
    model.check()
    with pytest.raises(MmsbError, match=said):
        replace(model, **settings).check()


def test_settings_of_a_local_model_are_told_once_before_a_sweep_begins(mmsb: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.jinja").touch()
    done = mmsb("-m", "model.template=nowhere.jinja,empty.jinja", "image_mode=sd,typo", *QUIET)
    lines = done.stderr.splitlines()
    assert (done.returncode, lines[0]) == (
        1,
        "error: 2 things keep these 4 runs from starting, and nothing was started",
    )
    assert "model.template=nowhere.jinja cannot be read" in lines[1]
    assert lines[3].endswith("leaves out what is said (2 of 4 runs: model.template=empty.jinja)")
    assert [path.name for path in tmp_path.iterdir()] == ["empty.jinja"]


def test_a_template_may_be_a_file_whose_text_is_in_the_fingerprint(tmp_path: Path) -> None:
    own = "{% for message in messages %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endfor %}"
    (file := tmp_path / "own.jinja").write_text(own)
    model = HF(name="tiny", name_or_path=str(PACKAGE / "model" / "tiny" / "checkpoint"), template=str(file))
    model.check()
    assert model.fingerprint() == replace(model, template=own).fingerprint()
    file.write_text(f"Answer briefly. {own}")
    assert model.fingerprint() != replace(model, template=own).fingerprint()


def test_a_single_run_that_cannot_start_leaves_no_folder(mmsb: Run, tmp_path: Path) -> None:
    done = mmsb("model=hf", "model.name_or_path=/not/here", *QUIET)
    assert (done.returncode, "there is no such folder\n" in done.stderr) == (1, True)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_is_not_made_yet_is_told_with_the_command_that_makes_it(mmsb: Run) -> None:
    done = mmsb("model=otter", *QUIET)
    assert "otter has no converted checkpoint at checkpoints/otter" in done.stderr
    assert "python -m mmsb.convert model=otter download=true" in done.stderr


def test_missing_pictures_are_told_before_the_start(mmsb: Run, tmp_path: Path) -> None:
    questions = tmp_path / "data" / "processed_questions"
    questions.mkdir(parents=True)
    fields = ("Question", "Changed Question", "Key Phrase", "Rephrased Question", "Rephrased Question(SD)")
    entry = json.dumps({"0": dict.fromkeys(fields, "q") | {"Phrase Type": "activity"}})
    (questions / "06-Fraud.json").write_text(entry)
    done = mmsb("-m", "dataset=mm_safetybench", f"dataset.root={tmp_path / 'data'}", "image_mode=sd,text_only", *QUIET)
    assert "1 of 1 pictures for image_mode=sd are missing" in done.stderr
    assert "(1 of 2 runs: image_mode=sd)" in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_letters_that_no_font_has_are_all_told_before_the_start(mmsb: Run, tmp_path: Path) -> None:
    questions = tmp_path / "data" / "processed_questions"
    questions.mkdir(parents=True)
    fields = ("Question", "Changed Question", "Rephrased Question", "Rephrased Question(SD)")
    phrases = {"0": "\u5077\u76d7", "1": "theft", "2": "\u76d7\u8cca"}
    entries = {key: dict.fromkeys(fields, "q") | {"Key Phrase": phrase} for key, phrase in phrases.items()}
    text = json.dumps({key: entry | {"Phrase Type": "activity"} for key, entry in entries.items()})
    (questions / "06-Fraud.json").write_text(text)
    data = ("dataset=mm_safetybench", f"dataset.root={tmp_path / 'data'}", *QUIET[:2])
    done = mmsb("-m", *data, "image_mode=typo,text_only")
    assert (
        "2 of 3 key phrases cannot be typed, no glyph for \u5077 (U+5077), \u76d7 (U+76D7), \u8cca (U+8CCA); "
        in done.stderr
    )
    assert "(1 of 2 runs: image_mode=typo)" in done.stderr
    assert "image_mode.font.fallback=" in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_a_remote_endpoint_without_its_key_is_told_even_where_no_model_is_chosen(mmsb: Run) -> None:
    remote = ("judge=rubric", "judge.model.api_key_env=NO_SUCH_KEY", *QUIET)
    done = mmsb(*remote, "judge.model.base_url=https://127.0.0.1:9/v1")
    assert "https://127.0.0.1:9/v1 wants a key, and the environment variable NO_SUCH_KEY is not set" in done.stderr
    assert "no value for judge.model.name" in done.stderr
    assert "NO_SUCH_KEY" not in mmsb(*remote, "judge.model.base_url=http://127.0.0.1:9/v1").stderr
    set_now = mmsb(*remote, "judge.model.base_url=https://127.0.0.1:9/v1", NO_SUCH_KEY="k-1")
    assert "NO_SUCH_KEY" not in set_now.stderr


@pytest.mark.parametrize(
    ("act", "problem", "remedy"),
    [
        (error(401, f"Incorrect key {CANARY}"), "refuses x (HTTP 401: Incorrect key [key])", "MY_KEY"),
        (error(404, "no such model"), "has no model name=x", "/v1/models"),
        (error(400, "no temperature", "unsupported_value"), "refuses every request to x", "setting"),
    ],
)
def test_a_wrong_key_name_or_setting_is_found_by_one_call(
    act: Act, problem: str, remedy: str, mmsb: Run, tmp_path: Path
) -> None:
    with ChatServer(act=lambda *_: act) as server:
        model = ("model=openai", "model.name=x", f"model.base_url={server.url}", "model.api_key_env=MY_KEY")
        done = mmsb("-m", *model, "image_mode=sd,typo", *QUIET, MY_KEY=CANARY)
    assert len(server.requests) == 1
    assert f"{problem}" in done.stderr
    assert remedy in done.stderr
    assert "(all 2 runs)" in done.stderr
    assert CANARY not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_guard_is_asked_for_a_word_as_the_run_will_ask_it(mmsb: Run) -> None:
    """Where its checkpoint has no chat template a chat is refused, and the run goes well; or the other way round."""

    def refusing(chat: bool, message: str) -> Callable[[str, int], Act | None]:
        return lambda text, attempt: error(400, message) if ("messages" in server.requests[-1]) is chat else None

    judge = ("judge=wildguard", "model@judge.model=vllm", "judge.model.name=g", "dry_run=true", *QUIET)
    with ChatServer(act=refusing(True, "no chat template")) as server:
        done = mmsb(*judge, f"judge.model.base_url={server.url}")
        assert done.returncode == 0, done.stderr
        assert [(body["max_tokens"], body["logprobs"]) for body in server.requests] == [(32, 20)]
    with ChatServer(act=refusing(False, "logprobs are not supported")) as server:
        done = mmsb(*judge, f"judge.model.base_url={server.url}")
    assert (done.returncode, "judge.probabilities=false asks for no logprobs" in done.stderr) == (1, True), done.stderr


def test_the_call_of_a_sweep_is_a_word_and_the_run_goes_on(
    mmsb: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsb.model.attempts.back_off", lambda state: 0.0)

    def late(text: str, attempt: int) -> Act | None:
        return Act(delay=9.0 * (attempt == 1), body=completion("OK")) if "OK" in text else None

    with ChatServer(act=late) as server:
        model = ("model=openai", "model.name=x", "model.timeout=1", f"model.base_url={server.url}")
        done = mmsb("-m", *model, "image_mode=text_only,typo", *QUIET)
        assert done.returncode == 0, done.stderr
        assert [body["messages"][0]["content"] for body in server.requests[:2]] == ["Reply with the word OK."] * 2
        assert len(server.requests) == 4
        again = mmsb("-m", *model, "image_mode=glob(t*)", *QUIET)
        assert again.returncode == 0, again.stderr
        assert "Callback" not in again.stderr  # of Hydra, where the sweep's own callback fails
        assert len(server.requests) == 4  # nothing is left to ask, so nobody is called
    configs = [path.read_text() for path in sorted(tmp_path.glob("outputs/sweeps/*/*/.hydra/overrides.yaml"))]
    assert ["image_mode=text_only" in configs[0], "image_mode=typo" in configs[1]] == [True, True]


def test_what_a_server_that_is_not_there_would_be_asked_is_told_with_the_error(mmsb: Run, tmp_path: Path) -> None:
    model = ("model=openai", "model.base_url=http://127.0.0.1:9/v1", "image_mode=text_only")
    dry = mmsb(*model, "model.name=gpt-4o", "dry_run=true", *QUIET)
    sweep = mmsb("-m", *model, "model.name=gpt-4o,gpt-4o-mini", *QUIET)
    assert (dry.returncode, sweep.returncode) == (1, 1)
    assert "plan: 1 run, 1 sample; 1 call to make\n  gpt-4o  1 call, " in dry.stdout
    assert "plan: 2 runs, 2 samples; 2 calls to make\n" in sweep.stderr
    for done in (dry, sweep):
        assert "error: nothing answers at base_url=http://127.0.0.1:9/v1" in done.stderr
    assert not list(tmp_path.iterdir())


def test_runs_side_by_side_that_would_wait_for_one_another_s_batches_are_not_started(mmsb: Run, tmp_path: Path) -> None:
    asked = ("model=vllm", "model.name=x", "model.base_url=http://127.0.0.1:9/v1", "model.batch=true", *QUIET)
    done = mmsb("-m", *asked, "image_mode=sd,typo", "hydra/launcher=joblib")
    said = "batch=true, and runs side by side that ask one model: one at a time can wait for its batches (all 2 runs)"
    assert done.stderr.startswith(f"error: {said}\n  try: Leave hydra/launcher out")
    assert done.stderr.count("\n") == 2
    assert not list(tmp_path.iterdir())


def test_a_dry_run_tells_what_the_runs_that_can_start_will_take_and_what_keeps_the_others(mmsb: Run) -> None:
    done = mmsb("dry_run=true", "-m", "model=tiny,hf", "image_mode=sd,typo", *QUIET)
    assert done.returncode == 1
    assert "plan: 2 of 4 runs (the others cannot start), 2 samples; 2 calls to make\n  tiny  2 calls" in done.stdout
    assert "no value for model.name_or_path (2 of 4 runs: model=hf)" in done.stderr


def test_a_full_disk_is_seen_before_the_start(mmsb: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 10)
    done = mmsb("image_mode=text_only", *QUIET)
    assert "and outputs has 0 MB free" in done.stderr
    assert not list(tmp_path.iterdir())


def test_weights_that_do_not_fit_together_are_told_before_the_start(
    mmsb: Run, small_llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsb.preflight.memory.free", lambda model: (3e9, "memory"))
    monkeypatch.setattr("mmsb.preflight.memory.needed", lambda model: 2e9)
    one = ("model=hf", f"model.name_or_path={small_llava}", "dry_run=true", *QUIET)
    assert mmsb(*one).returncode == 0
    two = mmsb(*one, "judge=llama_guard_3", "model@judge.model=text", f"judge.model.name_or_path={small_llava}")
    assert "(2.0 GB) do not fit: 3.0 GB of memory are free" in two.stderr
    monkeypatch.setattr("mmsb.preflight.memory.needed", lambda model: 4e9)
    monkeypatch.setattr("mmsb.replicas.cluster.check", lambda setting: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert "do not fit" in mmsb(*one, "model.replicas=2").stderr
    assert mmsb(*one, "model.replicas=2", RAY_ADDRESS="head:6379").returncode == 0  # they load on its nodes


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs=0: a number of processes"),
        (
            ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=-1"],
            "hydra.launcher.timeout_min=-1: minutes",
        ),
        (["hydra/launcher=submitit_slurm"], "hydra/launcher=submitit_slurm needs Slurm's srun and sbatch"),
        (
            ["hydra/launcher=ray", "hydra.launcher.num_cpus=1000"],
            "hydra.launcher.num_cpus=1000 of each run; ",
        ),
        (["hydra.sweep.subdir=x"], "hydra.sweep.subdir=x: the runs of a sweep lie in folders of their numbers"),
        (["hydra.sweep.dir=file/sweep"], "hydra.sweep.dir=file/sweep: file is a file"),
        (["output_dir=file"], "output_dir=file: file is a file"),
    ],
)
def test_what_no_run_could_be_started_with_is_told_once(
    mmsb: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: list[str], said: str
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "file").touch()
    done = mmsb("-m", "model=tiny", "image_mode=sd,typo", *settings, *QUIET)
    assert (done.returncode, done.stderr.count("error:")) == (1, 1)
    assert f"error: {said}" in done.stderr
    assert done.stderr.splitlines()[0].endswith("(all 2 runs)")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("setting", ["model.replicas=2", "hydra/launcher=ray"])
def test_a_cluster_that_nobody_can_join_is_told_once_before_the_start(mmsb: Run, tmp_path: Path, setting: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and listens to none
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        done = mmsb(setting, "image_mode=sd,typo", "tracker=none", "-m", RAY_ADDRESS=address)
    assert done.stderr.count(f"RAY_ADDRESS={address}, but no Ray cluster can be joined there") == 1
    assert not (tmp_path / "outputs").exists()


def test_a_dry_run_counts_and_leaves_nothing(mmsb: Run, tmp_path: Path) -> None:
    done = mmsb("dry_run=true", "-m", "image_mode=text_only,sd_typo", "scenario=[fraud,sex]", *QUIET[::2])
    assert done.returncode == 0, done.stderr
    assert "2 runs" in done.stderr + done.stdout
    assert not list(tmp_path.iterdir())


def test_of_a_sweeper_that_chooses_as_it_goes_every_value_is_looked_at_once() -> None:
    overrides = OverridesParser.create().parse_overrides(["a=1,2,3", "b=interval(0,1)", "c=x"])
    assert one_of_each(overrides) == [
        ["a=1", "b=0.0", "c=x"],
        ["a=2", "b=0.0", "c=x"],
        ["a=3", "b=0.0", "c=x"],
        ["a=1", "b=1.0", "c=x"],
    ]


def test_an_edited_text_is_another_measurement_of_the_same_command(mmsb: Run, tmp_path: Path) -> None:
    text = tmp_path / "texts" / "own.txt"
    text.parent.mkdir()
    text.write_text("Be kind.")
    with ChatServer() as server:
        own = ("defense=prompt", "defense_text=texts/own.txt", *QUIET)
        model = ("model=openai", "model.name=x", f"model.base_url={server.url}", *own)
        one, several = (*model, "hydra.run.dir=one"), ("-m", *model, "hydra.sweep.dir=several")
        assert [mmsb(*command).returncode for command in (one, one, several, several)] == [0, 0, 0, 0]
        before = (tmp_path / "one" / "run.json").read_bytes()
        text.write_text("Be strict.")
        edited, swept, apart = mmsb(*one), mmsb(*several), mmsb(*model, "hydra.run.dir=two")
    assert (edited.returncode, swept.returncode, apart.returncode) == (1, 1, 0)
    assert "measured with another defense.prompt" in edited.stderr
    assert "hydra.sweep.dir=several holds what another command measured" in swept.stderr
    assert (tmp_path / "one" / "run.json").read_bytes() == before
    found = [SavedRun.open(tmp_path / name).values["identity"] for name in ("one", "two")]
    assert found[0] != found[1]  # MLflow would put the second in the first one's place


def test_a_folder_that_another_command_measured_in_is_left_as_it_is(mmsb: Run, tmp_path: Path) -> None:
    with ChatServer() as server:
        model = ("model=openai", "model.name=x", f"model.base_url={server.url}", *QUIET)
        one, several = (*model, "hydra.run.dir=one"), ("-m", *model, "hydra.sweep.dir=several")
        assert mmsb(*one, "image_mode=text_only").returncode == 0
        assert mmsb(*several, "image_mode=text_only,typo").returncode == 0
        before = {
            path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "store" not in str(path)
        }
        other = mmsb(*one, "image_mode=typo")
        shorter = mmsb(*several, "image_mode=typo")  # else the first one's second run would stand in its table
        assert before == {path: path.read_bytes() for path in before}
        slower = mmsb(*one, "image_mode=text_only", "model.concurrency=1", "budget.calls=9")
        again = mmsb(*several, "image_mode=text_only,typo", "budget.calls=9")
    assert (other.returncode, shorter.returncode) == (1, 1)
    assert "hydra.run.dir=one holds what another command measured" in other.stderr
    assert "hydra.sweep.dir=several holds what another command measured" in shorter.stderr
    assert (slower.returncode, again.returncode) == (0, 0)


def test_a_key_is_wanted_under_a_name_that_a_variable_can_have() -> None:
    def wanted(variable: str) -> list[str]:
        config = OmegaConf.create({"model": {"api_key_env": variable, "base_url": "https://example.org/v1"}})
        return [error.remedy for error in keys(config)]

    assert [remedy.partition("=")[0] for remedy in wanted("NO_SUCH_KEY")] == ["export NO_SUCH_KEY"]
    assert wanted("") == []  # told where the model is built
