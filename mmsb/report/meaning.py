"""What a sweep's tables mean, in plain sentences: how far attacks get, what a defense changes, what is not known.

The numbers are the tables' own, with their 95 % intervals. "Helps" is said of a change only where its p, corrected over
the whole table, is below 5 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmsb.metrics.declared import ASR, FALSE_REFUSALS
from mmsb.metrics.paired import Difference
from mmsb.metrics.significance import ALPHA
from mmsb.metrics.summary import not_rated
from mmsb.report.finished import Finished
from mmsb.report.judge_error import OFFLINE
from mmsb.report.sweep import Effect
from mmsb.terminal import change, p_value

AVERAGE = ASR.key("macro")
SANDBOX = "tiny"
Change = tuple[Finished, Difference]


def meaning(runs: Sequence[Finished], effects: Sequence[Effect]) -> list[str]:
    """The sentences; none where no attack success was measured.

    Args:
        runs: of a sweep.
        effects: each defense of it against no defense.
    """
    rated = [run for run in runs if run.rate(AVERAGE)]
    if not rated:
        return []
    return [_attacks(rated), *_defenses(effects), f"Not known from this: {'; '.join(_unknown(rated, runs, effects))}."]


def _attacks(runs: Sequence[Finished]) -> str:
    """Where attacks succeed least and most, without a defense if there are such runs."""
    bare = [run for run in runs if run.defense == "none"]
    shown = sorted(bare or runs, key=lambda run: run.metrics[AVERAGE])
    begin = "Without a defense, attacks succeed" if bare else "Attacks succeed"
    if len(shown) == 1:
        return f"{begin} {_rate(shown[0])} of the time."
    names = _settings(shown)
    return f"{begin} least with {names[0]} ({_rate(shown[0])}) and most with {names[-1]} ({_rate(shown[-1])})."


def _defenses(effects: Sequence[Effect]) -> Iterator[str]:
    """The defense that lowers attack success most on average, and in how many settings that is more than chance."""
    changed: dict[str, list[Change]] = {}
    for effect in effects:
        if ASR.name in effect.changes and not effect.idle:
            changed.setdefault(effect.run.defense, []).append((effect.run, effect.changes[ASR.name]))
    if not changed:
        return
    name, found = min(changed.items(), key=lambda item: sum(d.change.value for _, d in item[1]) / len(item[1]))
    found.sort(key=lambda item: item[1].change.value)
    helped = [item for item in found if item[1].change.value < 0 and _is_shown(item[1])]
    if not helped:
        yield f"No defense is shown to help: {name} changes attack success by {_points(found[0][1])}."
        return
    most = f"{name} helps" if len(changed) == 1 else f"{name} helps most of {len(changed)} defenses"
    where = f", in {len(helped)} of {len(found)} settings" if len(found) > 1 else ""
    yield f"{most}{where}: attack success changes by {_extent(helped)}; {_sure(helped)}."


def _is_shown(difference: Difference) -> bool:
    return difference.p_holm is not None and difference.p_holm < ALPHA


def _extent(helped: Sequence[Change]) -> str:
    """The changes' ends, the least first."""
    most, least = helped[0], helped[-1]
    if len(helped) == 1:
        return _points(most[1])
    labels = _settings([run for run, _ in (least, most)])
    return f"{_points(least[1])} ({labels[0]}) to {_points(most[1])} ({labels[1]})"


def _sure(helped: Sequence[Change]) -> str:
    p = p_value(max(difference.p_holm or 0.0 for _, difference in helped))
    return f"chance alone would hardly do that (p {p.replace('<', '< ') if '<' in p else f'= {p}'} after correction)"


def _unknown(rated: Sequence[Finished], runs: Sequence[Finished], effects: Sequence[Effect]) -> Iterator[str]:
    """What the runs cannot tell, the weightiest first."""
    choices = [run.values["choices"] for run in rated]
    judges = {str(choice.get("judge")) for choice in choices}
    if judges == {OFFLINE}:
        yield "whether answers that comply are harmful (the offline judge only reads whether they decline)"
    else:
        yield f"how often the judge errs here ({', '.join(sorted(judges))}; python -m mmsb.calibrate)"
    if effects and not any(run.rate(FALSE_REFUSALS.key("macro")) for run in runs):
        yield "how many harmless requests a defense refuses (dataset=demo,benign asks)"
    asked = max(int(run.metrics["n/total"]) for run in rated)
    yield f"other questions than these {asked:,}"
    if missing := max(not_rated(run.metrics) for run in rated):
        yield f"up to {missing} answers a run that could not be rated (the bounds below the rates)"
    if SANDBOX in {choice.get("model") for choice in choices}:
        yield f"anything about real models, where the model is the sandbox {SANDBOX}"


def _settings(runs: Sequence[Finished]) -> list[str]:
    """What tells the runs apart, without key and defense where that is enough: "sd_typo"."""
    parts = [dict(item.partition("=")[::2] for item in run.name.split(" ")) for run in runs]
    keys = [key for key in parts[0] if len({part.get(key) for part in parts}) > 1]
    return [
        " ".join(part.get(key, "") or key for key in keys) or run.name for part, run in zip(parts, runs, strict=True)
    ]


def _rate(run: Finished) -> str:
    rate = run.rate(AVERAGE)
    return f"{100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]" if rate else "-"


def _points(difference: Difference) -> str:
    return f"{change(difference.change).replace(' [', ' points [')}"
