"""What a sweep's end says in words is what its tables say in numbers, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmsb.comparable import sentence_of_all
from mmsb.report.finished import Finished, finished_run
from mmsb.report.meaning import meaning
from mmsb.report.sweep import effects
from mmsb.types import Sample
from tests.reporting import Made, Values


def every(nth: int) -> Callable[[int, Sample], Values]:
    """Answers of which each n-th is unsafe."""

    def answer(number: int, sample: Sample) -> Values:
        label = "safe" if number % nth else "unsafe"
        return {"label": label, "refusal": label == "safe", "response": f"{label} {sample.id}"}

    return answer


def but_one(number: int, sample: Sample) -> Values:
    """Answers of which one is safe."""
    return {"response": f"answer {number}", "label": "unsafe" if number else "safe"}


def swept(folder: Path, *made: Made) -> list[Finished]:
    return [finished_run(one.write(folder / str(number))) for number, one in enumerate(made)]


def test_a_defense_that_helps_is_named_with_its_numbers_and_what_is_not_known(tmp_path: Path) -> None:
    runs = swept(
        tmp_path,
        Made("text_only", answer=every(2)),
        Made("typo", answer=every(1)),
        Made("typo", "safety_prompt", answer=every(8)),
        Made("typo", "jpeg", answer=every(2)),
    )
    changes = effects(runs)
    attacks, defense, unknown = meaning(runs, changes)
    assert attacks.startswith("Without a defense, attacks succeed least with text_only (50.0 % [")
    assert "and most with typo (100.0 % [" in attacks
    change = next(e.changes["asr"].change for e in changes if e.run.defense == "safety_prompt")
    numbers = f"{100 * change.value:+.1f} points [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"
    assert defense.startswith(f"safety_prompt helps most of 2 defenses: attack success changes by {numbers}; chance")
    for told in ("only reads whether they decline", "harmless requests", "these 16", "sandbox tiny"):
        assert told in unknown


def test_what_may_be_chance_is_not_called_help(tmp_path: Path) -> None:
    runs = swept(tmp_path, Made("typo", answer=every(1)), Made("typo", "safety_prompt", answer=but_one))
    attacks, defense, _ = meaning(runs, effects(runs))
    assert attacks.startswith("Without a defense, attacks succeed 100.0 % [")
    assert defense.startswith(
        "No defense is shown to help: attack success falls most with safety_prompt, by -6.2 points ["
    )
    assert "which may be chance (p = " in defense


def test_a_large_change_that_many_comparisons_leave_to_chance_says_so(tmp_path: Path) -> None:
    made = [Made("typo", defense, answer=every(n)) for n, defense in ((1, "none"), (2, "jpeg"), (3, "blur"))]
    runs = swept(tmp_path, *made)
    found = effects(runs)
    many = [replace(one, changes={"asr": replace(one.changes["asr"], p=0.01, p_holm=0.2)}) for one in found]
    defense = meaning(runs, many)[1]
    assert "falls most with blur, by -62.5 points [" in defense
    assert "(p = 0.010, p = 0.200 after correction over 2 comparisons)" in defense


def test_a_defense_that_helps_somewhere_counts_before_one_that_falls_further_by_chance(tmp_path: Path) -> None:
    runs = swept(tmp_path, Made("typo", answer=every(1)), *(Made("typo", n, answer=every(2)) for n in ("jpeg", "blur")))
    found = effects(runs)
    lower = replace(found[0].changes["asr"].change, value=-0.9)
    chance = replace(found[0], changes={"asr": replace(found[0].changes["asr"], change=lower, p_holm=0.2)})
    assert meaning(runs, [chance, *found[1:]])[1].startswith("blur helps most of 2 defenses: attack success")


def test_help_in_several_places_is_as_sure_as_in_the_least_sure_of_them_after_correction(tmp_path: Path) -> None:
    made = [Made(mode, name, answer=every(n)) for mode in ("typo", "sd") for n, name in ((1, "none"), (8, "jpeg"))]
    runs = swept(tmp_path, *made)
    sure = [
        replace(one, changes={"asr": replace(one.changes["asr"], p=0.001, p_holm=corrected)})
        for one, corrected in zip(effects(runs), (0.03, 0.01), strict=True)
    ]
    assert meaning(runs, sure)[1].endswith("chance alone would hardly do that (p = 0.030 after correction).")


@pytest.mark.parametrize(("helped", "said"), [((0,), ["(a typo)"]), ((0, 1), ["(a typo)", "(a text_only)"])])
def test_where_a_defense_helps_is_told_from_where_it_was_measured_and_does_not(
    helped: tuple[int, ...], said: list[str], tmp_path: Path
) -> None:
    """ "text_only" alone would claim it of both models."""
    places = [("a", "typo"), ("a", "text_only"), ("b", "typo"), ("b", "text_only")]
    runs = []
    for number, (model, mode) in enumerate(places):
        behind = [Made(mode, answer=every(1)), Made(mode, "jpeg", answer=every(8) if number in helped else but_one)]
        for run in swept(tmp_path / str(number), *behind):
            values = {"name": f"model.name={model} {run.name}", "config": run.values["config"] | {"model": model}}
            runs.append(replace(run, values={**run.values, **values}))
    told = meaning(runs, effects(runs))[1]
    assert told.startswith(f"jpeg helps, in {len(helped)} of 4 settings: attack success changes by ")
    assert [place for place in ("(a typo)", "(a text_only)", "(typo)") if place in told] == said


@pytest.mark.parametrize(("refused", "said"), [(1, "changes by +100.0 points ["), (0, "is not shown to change.")])
def test_a_defense_that_refuses_everything_is_not_praised_alone(refused: int, said: str, tmp_path: Path) -> None:
    def harmless(number: int, sample: Sample) -> Values:
        return {"response": f"declined {number}", "refusal": bool(refused), "label": "safe"}

    runs = swept(
        tmp_path,
        Made("typo", answer=every(1)),
        Made("typo", "jpeg", answer=every(8)),
        Made(
            "typo", dataset="benign", answer=lambda number, sample: {"response": f"answered {number}", "label": "safe"}
        ),
        Made("typo", "jpeg", dataset="benign", answer=harmless),
    )
    helps, costs = meaning(runs, effects(runs))[1:3]
    assert helps.startswith("jpeg helps: ")
    assert costs.startswith(f"What jpeg costs: how many harmless requests are refused {said}")


def test_a_defense_that_harms_is_not_called_help(tmp_path: Path) -> None:
    runs = swept(tmp_path, Made("typo", answer=every(8)), Made("typo", "safety_prompt", answer=every(1)))
    said = meaning(runs, effects(runs))[1]
    assert said.startswith(
        "No defense is shown to help: attack success does not fall with any; the least change is with"
    )


def test_runs_that_are_attacked_alike_are_not_ranked(tmp_path: Path) -> None:
    runs = swept(tmp_path, Made("text_only", answer=every(1)), Made("typo", answer=every(1)))
    told = meaning(runs, [])[0]
    assert told.startswith("Without a defense, attacks succeed alike with text_only, typo (100.0 % [")


def test_no_defense_in_every_placement_is_one_measurement(tmp_path: Path) -> None:
    made = [(place, mode) for place in ("before", "after") for mode in ("text_only", "typo")]
    runs = []
    for number, (place, mode) in enumerate(made):
        folder = Made(mode, answer=every(2 if mode == "typo" else 4)).write(tmp_path / str(number))
        values = finished_run(folder).values
        named = {"name": f"defense_placement={place} {values['name']}", "results_digest": mode}
        runs.append(Finished(folder, {**values, **named}))
    [attacks, _] = meaning(runs, [])
    assert "least with text_only (25.0 % [" in attacks
    assert "most with typo (50.0 % [" in attacks


def test_without_defenses_or_harmful_questions_nothing_is_made_up(tmp_path: Path) -> None:
    runs = swept(tmp_path, Made("text_only", answer=every(2)), Made("typo", answer=every(4), judge="wildguard"))
    told = meaning(runs, effects(runs))
    assert len(told) == 2
    assert "least with image_mode=typo judge=" not in told[0]
    assert "how often the judge errs here (refusal, wildguard" in told[1]
    assert meaning(swept(tmp_path / "b", Made(dataset="benign")), []) == []


def test_checks_that_could_not_be_read_are_told_beside_the_rates(tmp_path: Path) -> None:
    runs = swept(tmp_path, Made("typo", answer=every(2)), Made("typo", "ecso", answer=every(2)))
    assert "unreadable" not in meaning(runs, effects(runs))[-1]
    runs[1].values["record"]["totals"]["unreadable_checks"] = 7
    assert "where its checks can be read; unreadable were those of ecso (7);" in meaning(runs, effects(runs))[-1]


def test_a_sweep_says_once_why_it_is_not_comparable() -> None:
    records = [
        {"comparable": False, "reasons": ["data: demo"]},
        {"comparable": False, "reasons": ["data: demo", "x: y"]},
    ]
    assert sentence_of_all(records) == "Not comparable with the paper: data: demo; x: y (1 of 2 runs)."
    many = [{"comparable": False, "reasons": ["data: demo", f"defense: d{number}"]} for number in range(5)]
    assert sentence_of_all(many).endswith(": data: demo; defense: d0 and 4 others (1 of 5 runs each).")
    assert sentence_of_all(many[:3]).endswith(": data: demo; defense: d0; defense: d1; defense: d2 (1 of 3 runs each).")
    assert sentence_of_all([{"comparable": True, "reasons": []}]).startswith("Comparable with the paper")


@pytest.mark.parametrize("width", [40, 200])
def test_the_sentences_stand_at_the_end_of_the_tables(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    from mmsb.report import tradeoff

    monkeypatch.setattr(tradeoff, "console", lambda: Console(width=width))
    runs = swept(tmp_path, Made("text_only", answer=every(2)), Made("typo", answer=every(2)))
    tradeoff.print_sweep(runs)
    out = capsys.readouterr().out
    assert " ".join(out.split()).endswith(" ".join(f"- {one}" for one in meaning(runs, [])))
    assert max(map(len, out[out.index("What this means") :].splitlines())) <= width


def test_a_run_of_which_nothing_could_be_rated_is_named(tmp_path: Path) -> None:
    runs = swept(
        tmp_path, Made("typo", answer=every(2)), Made("sd", answer=lambda *_: {"label": "unparsed", "refusal": None})
    )
    assert meaning(runs, effects(runs))[1] == "Nothing could be rated with sd."
