"""Scores against labels: areas by their definitions, intervals, and a threshold from end to end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsb.metrics.discrimination import auroc_interval, discrimination, wilson
from tests.conftest import Run
from tests.endpoint import Act, ChatServer, text_completion
from tests.test_judge_local import tiny

Items = list[tuple[str, float | None]]


def drawn(seed: int, n: int = 60) -> tuple[Items, list[float]]:
    """Labels, scores with ties, and weights."""
    draw = np.random.default_rng(seed)
    truths = ["unsafe" if value else "safe" for value in draw.random(n) < 0.4]
    scores = [round(float(np.clip(draw.normal(0.6 if t == "unsafe" else 0.4, 0.2), 0, 1)), 1) for t in truths]
    return list(zip(truths, scores, strict=True)), draw.integers(1, 5, n).astype(float).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_areas_and_points_are_those_of_their_definitions(seed: int) -> None:
    items, weights = drawn(seed)
    found = discrimination(items, weights)
    assert found is not None
    rated = [(truth == "unsafe", score, weight) for (truth, score), weight in zip(items, weights, strict=True)]
    pairs = [
        (one * other, (high > low) + (high == low) / 2)
        for is_unsafe, high, one in rated
        if is_unsafe
        for other_unsafe, low, other in rated
        if not other_unsafe and high is not None and low is not None
    ]
    assert found.auroc.value == pytest.approx(sum(w * won for w, won in pairs) / sum(w for w, _ in pairs))
    whole = {kind: sum(weight for is_unsafe, _, weight in rated if is_unsafe is kind) for kind in (True, False)}
    precise, recalled = 0.0, 0.0
    for point in found.curve:
        above = [(is_unsafe, w) for is_unsafe, score, w in rated if score is not None and score >= point.threshold]
        unsafe = sum(w for is_unsafe, w in above if is_unsafe)
        assert point.found == pytest.approx(unsafe / whole[True])
        assert point.alarms == pytest.approx((sum(w for _, w in above) - unsafe) / whole[False])
        assert point.precision == pytest.approx(unsafe / sum(w for _, w in above))
        precise += (point.found - recalled) * (unsafe / sum(w for _, w in above))
        recalled = point.found
    assert found.auprc.value == pytest.approx(precise)
    assert found.at(found.curve[3].threshold) == found.curve[3]


def test_a_score_of_all_the_same_ranks_nothing_and_a_perfect_one_is_not_known_to_be() -> None:
    useless = discrimination([("unsafe", 0.5)] * 5 + [("safe", 0.5)] * 15)
    assert useless is not None
    assert (useless.auroc.value, useless.auprc.value) == (0.5, 0.25)
    perfect = discrimination([("unsafe", 0.9)] * 10 + [("safe", 0.1)] * 10)
    assert perfect is not None
    assert (perfect.auroc.value, perfect.auroc.high, perfect.auprc.value) == (1.0, 1.0, 1.0)
    assert 0.6 < perfect.auroc.low < 0.9
    assert 0.6 < perfect.auprc.low < 0.8


def test_without_both_kinds_there_is_no_area_and_what_has_no_score_is_counted() -> None:
    assert discrimination([("unsafe", 0.9), ("safe", None)]) is None
    found = discrimination([("unsafe", 0.9), ("safe", 0.1), ("safe", None)])
    assert found is not None
    assert (found.unsafe, found.safe, found.unscored) == (1, 1, 1)


def test_the_interval_of_an_area_holds_the_truth() -> None:
    """Normal scores a known distance apart: the area is that of the normal distribution."""
    draw, held, times = np.random.default_rng(7), 0, 400
    apart = 1.2
    true = 0.5 * (1 + math.erf(apart / 2))
    for _ in range(times):
        unsafe, safe = draw.normal(apart, 1, 15), draw.normal(0, 1, 25)
        area = float(np.mean(unsafe[:, None] > safe[None, :]))
        low, high = auroc_interval(area, 15, 25)
        held += low <= true <= high
    assert held / times > 0.92
    low, high = wilson(0.5, 10)
    assert (round(low, 4), round(high, 4)) == (0.2366, 0.7634)  # Wilson 1927, 5 of 10


# ---- from end to end ---------------------------------------------------------------------------------------------

CHANCES = {"u": (0.9, 0.8, 0.4, 0.15), "s": (0.05, 0.1, 0.2, 0.02)}


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Four unsafe and four safe answers."""
    rows = [
        {
            "id": f"{kind}{n}",
            "scenario": "fraud",
            "question": "How is bread baked?",
            "answer": f"Answer {kind}{n}: knead the dough.",
            "label": {"u": "unsafe", "s": "safe"}[kind],
        }
        for kind in CHANCES
        for n in range(4)
    ]
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def says_no(text: str, attempt: int) -> Act:
    """The classifier's word is always no; how likely yes was depends on the answer."""
    named = text.partition("Answer ")[2]
    yes = CHANCES[named[0]][int(named[1])]
    tops = [{" no": math.log(1 - yes), " yes": math.log(yes)}]
    return Act(body=text_completion("no", {"tokens": [" no"], "top_logprobs": tops}))


def test_a_guard_at_an_endpoint_is_ranked_and_a_threshold_is_a_setting(mmsb: Run, labels: Path, tmp_path: Path) -> None:
    with ChatServer(act=says_no) as server:
        there = (
            "judge=harmbench",
            "model@judge.model=vllm",
            "judge.model.name=m",
            f"judge.model.base_url={server.url}",
        )
        by_word = mmsb(*there, f"labels={labels}", module="mmsb.calibrate")
        assert by_word.returncode == 0, by_word.stderr
        assert len(server.requests) == 8
        by_threshold = mmsb(*there, f"labels={labels}", "judge.threshold=0.12", module="mmsb.calibrate")
        assert len(server.requests) == 8  # another threshold on the same replies asks nothing
    assert "labelled unsafe: 0 judged unsafe, 4 safe" in by_word.stdout
    assert "labelled unsafe: 4 judged unsafe, 0 safe" in by_threshold.stdout
    assert "labelled safe:   1 judged unsafe, 3 safe" in by_threshold.stdout
    files = sorted((tmp_path / "outputs/calibrations").glob("*.json"))
    records = [json.loads(file.read_text(encoding="utf-8"))["discrimination"]["all"] for file in files]
    assert [round(record["auroc"]["value"], 4) for record in records] == [0.9375, 0.9375]  # 15 of 16 pairs
    shown = " ".join(by_word.stdout.split())
    assert "AUROC" in shown
    assert "0.94 [" in shown
    [line] = [line for line in by_word.stdout.splitlines() if line.replace("│", " ").split()[:1] == ["0.1"]]
    assert line.replace("│", " ").split() == ["0.1", "100", "50", "67"]


def test_a_guard_in_this_process_is_ranked_by_its_logits(mmsb: Run, labels: Path, tmp_path: Path) -> None:
    folder = save_undecided(tmp_path / "model")
    here = (
        "judge=harmbench",
        f"judge.model.name_or_path={folder}",
        "judge.model.dtype=float32",
        "judge.model.device=cpu",
    )
    done = mmsb(*here, f"labels={labels}", module="mmsb.calibrate")
    assert done.returncode == 0, done.stderr
    [file] = (tmp_path / "outputs/calibrations").glob("*.json")
    found = json.loads(file.read_text(encoding="utf-8"))["discrimination"]["all"]
    assert found["unscored"] == 0
    assert len({point["threshold"] for point in found["curve"]}) == 8  # as many probabilities as answers
    assert "AUPRC" in done.stdout


def save_undecided(folder: Path) -> Path:
    """A random causal model that says y or n, and nothing else, as its last hidden state leans."""
    import torch
    from transformers import PhiConfig, PhiForCausalLM  # of the small families one whose words have a bias

    from tests.small_llava import tokenizer

    words: Any = tokenizer()
    words.save_pretrained(folder)
    torch.manual_seed(0)
    model = PhiForCausalLM(PhiConfig(**tiny(), eos_token_id=words.eos_token_id, max_position_embeddings=4096))
    yes, no = words.convert_tokens_to_ids(["y", "n"])
    with torch.no_grad():
        leaning = 0.2 * torch.randn(model.lm_head.weight.shape[1])
        model.lm_head.weight.zero_()
        model.lm_head.weight[yes], model.lm_head.weight[no] = leaning, -leaning
        model.lm_head.bias.zero_()
        model.lm_head.bias[[yes, no]] = 12.0
    model.save_pretrained(folder)
    return folder
