"""Each file in experiments/ names options that exist, and runs offline on the sandbox target."""

from __future__ import annotations

import json
from functools import cache
from itertools import zip_longest
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from mmsb.config import build
from mmsb.experiment import Experiment
from mmsb.paths import conf_dir
from tests.composing import complete, composed
from tests.conftest import Run

NAMES = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))
SMALL = ("model.max_new_tokens=4", "scenario=economic_harm", "dataset.limit=1", "tracker=none", "judge=refusal")
# What is swept over models or judges that do not run everywhere, and sets that are not here, is put on what ships.
OFFLINE = {
    "paper_main": ("dataset=demo", "image_mode=text_only,sd_typo"),
    "paper_llava": ("dataset=demo", "image_mode=text_only,sd_typo"),
    "paper_minigpt4": ("dataset=demo", "image_mode=text_only,sd_typo"),
    "paper_safety_prompt": ("dataset=demo,benign",),
    "tiny_check": ("dataset=demo",),
    "typography": (
        "dataset=demo",
        "image_mode.font.size=30,90",
        "image_mode.question=rephrased",
        "model.fit.how=pad,crop",
    ),
    "judge_agreement": ("dataset=demo",),
    "modern_models": ("dataset=demo",),
    "defense_ablation": ("defense=none,ecso", "image_mode=sd_typo"),
    "prompt_ablation": (
        "defense=none,safety_prompt",
        "defense_placement=before,system",
        "image_mode=sd_typo",
        "dataset=demo",
    ),
    "demo": ("image_mode=text_only,typo",),
}


@cache
def axes(name: str, *overrides: str) -> tuple[tuple[str, list[str]], ...]:
    """Each swept key of an experiment, with its values."""
    params = composed(f"experiment={name}", *overrides).hydra.sweeper.params
    parse = OverridesParser.create().parse_override
    return tuple(
        (str(key), [str(value) for value in parse(f"{key}={values}").sweep_string_iterator()])
        for key, values in params.items()
    )


def together(key: str, values: list[str]) -> list[str]:
    """The values to compose: defenses in one list, since each builds by itself whatever stands beside it."""
    if key != "defense":
        return values
    return [f"[{','.join(value.strip('[]') for value in values if value != 'none')}]"]


@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_every_axis_is_an_option_that_builds(name: str, tmp_path: Path) -> None:
    build(complete(composed(f"experiment={name}"), tmp_path), Experiment)
    assert all(len(values) > 1 for _, values in axes(name))
    columns = [[f"{key}={value}" for value in together(key, values)] for key, values in axes(name)]
    for options in zip_longest(*columns):  # one value of every axis at a time: composing is what takes time
        build(complete(composed(f"experiment={name}", *filter(None, options)), tmp_path), Experiment)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_says_what_it_is_what_to_expect_and_what_it_costs(name: str) -> None:
    lines = (conf_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    header = "\n".join(line for line in lines if line.startswith("#"))
    assert lines[0] == "# @package _global_"
    assert name == "demo" or all(word in header for word in (f"experiment={name}", "Expect:", "Costs:"))


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_offline_on_the_sandbox_target(name: str, mmsb: Run, tmp_path: Path, small_llava: Path) -> None:
    overrides = OFFLINE.get(name, ())
    # A trade-off needs answers that can be rated: those of the sandbox model itself, not of random weights.
    weights = [] if "dataset" in dict(axes(name)) else [f"model.name_or_path={small_llava}"]
    done = mmsb(f"experiment={name}", "model=tiny", *weights, *SMALL, *overrides)
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/sweeps/*/*/run.json")]
    swept = {key: len(values) for key, values in axes(name)}
    swept |= {item.partition("=")[0]: item.count(",") + 1 for item in overrides}
    swept |= {"model": 1, "judge": 1}
    expected = 1
    for count in swept.values():
        expected *= count
    assert len(records) == expected
    kinds = {"utility": 5}  # which has categories of its own in the place of scenarios
    assert all(r["metrics"]["n/answered"] == kinds.get(r["choices"]["dataset"], 1) for r in records)
    both = {"demo", "benign"} <= {record["choices"]["dataset"] for record in records}
    (page,) = tmp_path.glob("outputs/sweeps/*/page.html")
    assert ('id="tradeoff"' in page.read_text(encoding="utf-8")) == both


def test_a_text_file_becomes_a_row_of_the_ablation(mmsb: Run, tmp_path: Path, small_llava: Path) -> None:
    assert "prompt" not in dict(axes("defense_ablation"))["defense"]
    assert dict(axes("defense_ablation", "defense_text=my.txt"))["defense"][-1] == "prompt"
    (tmp_path / "my.txt").write_text("Stay kind.", encoding="utf-8")
    command = ("experiment=defense_ablation", f"model.name_or_path={small_llava}", "defense_text=my.txt", *SMALL)
    done = mmsb(*command, "defense=none,prompt", "image_mode=sd_typo", "dataset=demo")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("outputs/sweeps/*/1/results.jsonl")
    assert json.loads(path.read_text())["prompt"].startswith("Stay kind.\n")


def test_a_sweep_says_once_what_it_needs(mmsb: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsb.preflight.memory.free", lambda model: (1e13, "memory"))  # else it depends on this machine
    models = "model=llava_1_5_7b,minigpt4,qwen_vl_chat"
    done = mmsb("experiment=paper_main", "tracker=none", models, OPENAI_API_KEY="")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("error:") == 1
    for needed in (
        "Add judge.evaluation_file=... to the command.  (evaluation.py of a checkout of the benchmark authors'",
        "Add judge.model.name=... to the command.  (the judging model; the paper's was gpt-4)",
        "the environment variable OPENAI_API_KEY is not set (all 12 runs)",
        "python -m mmsb.convert model=minigpt4 download=true",
        "(4 of 12 runs: model=qwen_vl_chat)",
        "hf download llava-hf/llava-1.5-7b-hf",
    ):
        assert done.stderr.count(needed) == 1, done.stderr
    assert not (tmp_path / "outputs").exists()
    named = ("model=llava_1_5_7b", "judge.model.name=gpt-4", "judge.evaluation_file=no.py")
    done = mmsb("experiment=paper_main", "tracker=none", "image_mode=sd", *named, OPENAI_API_KEY="k" * 8)
    assert "judge.evaluation_file=no.py: there is no such file" in done.stderr


def test_each_file_of_a_folder_becomes_a_row_of_the_ablation(mmsb: Run, tmp_path: Path, small_llava: Path) -> None:
    for name in ("stay kind", "be-careful"):
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{name}.txt").write_text(f"{name}!", encoding="utf-8")
    (tmp_path / "texts" / "._stay kind.txt").write_bytes(b"\x00\x05\x16\x07")  # what copies from a Mac bring
    (tmp_path / "texts" / "older.txt").mkdir()
    defenses = dict(axes("prompt_ablation", f"defense_text={tmp_path}/texts"))["defense"]
    assert defenses[-2:] == ["text_be_careful", "text_stay_kind"]
    one = ("defense_placement=before,after", "image_mode=text_only", "dataset=demo", "defense=none,text_stay_kind")
    command = ("experiment=prompt_ablation", f"model.name_or_path={small_llava}", "defense_text=texts/", *SMALL)
    done = mmsb(*command, *one)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("outputs/sweeps/*/*/results.jsonl"))]
    kind = [row["prompt"] for row in rows if "stay kind!" in row["prompt"]]
    assert sorted(prompt.startswith("stay kind!") for prompt in kind) == [False, True]


def test_a_folder_without_texts_is_an_error_that_names_it(mmsb: Run, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    done = mmsb("experiment=prompt_ablation", "defense_text=texts/", *SMALL)
    assert done.returncode == 1
    assert "has no .txt files" in done.stderr
