"""What a sweep's tables mean, in plain sentences: how far attacks get, what a defense changes, what is not known.

The numbers are the tables' own, with their 95 % intervals. "Helps" is said of a change only where its p, corrected over
the whole table, is below 5 %.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from mmsb.metrics.declared import ASR, FALSE_REFUSALS, Metric
from mmsb.metrics.paired import Difference
from mmsb.metrics.significance import ALPHA
from mmsb.metrics.summary import not_rated
from mmsb.report.finished import Finished, rows_of
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
    nothing = [run for run in runs if run not in rated and not_rated(run.metrics)]  # harmless requests have no rate
    return [
        _attacks(rated),
        *_silent(nothing, runs),
        *_defenses(effects),
        f"Not known from this: {'; '.join(_unknown(rated, runs, effects))}.",
    ]


def _attacks(runs: Sequence[Finished]) -> str:
    """Where attacks succeed least and most, without a defense if there are such runs."""
    measured = dict[object, Finished]()
    for run in runs:
        if run.defense == "none":
            # Once: that a sweep goes over the placements of a text changes nothing where there is none.
            measured.setdefault(rows_of(run), run)
    bare = list(measured.values())
    shown = sorted(bare or runs, key=lambda run: run.metrics[AVERAGE])
    begin = "Without a defense, attacks succeed" if bare else "Attacks succeed"
    if len(shown) == 1:
        return f"{begin} {_rate(shown[0])} of the time."
    names = _settings(shown)
    if shown[0].metrics[AVERAGE] == shown[-1].metrics[AVERAGE]:
        return f"{begin} alike with {', '.join(names)} ({_rate(shown[0])})."
    return f"{begin} least with {names[0]} ({_rate(shown[0])}) and most with {names[-1]} ({_rate(shown[-1])})."


def _silent(nothing: Sequence[Finished], runs: Sequence[Finished]) -> Iterator[str]:
    """Runs without a rate: left out without a word, they would look like runs that were not made."""
    if nothing:
        names = dict(zip(map(id, runs), _settings(runs), strict=True))
        yield f"Nothing could be rated with {', '.join(names[id(run)] for run in nothing)}."


def _defenses(effects: Sequence[Effect]) -> Iterator[str]:
    """The defense that helps most, in how many settings that is more than chance, and what it spoils."""
    changed = _changed(effects, ASR)
    helped = {name: [item for item in found if _helps(item[1])] for name, found in changed.items()}
    helping = {name: found for name, found in changed.items() if helped[name]}
    if not helping:
        yield from _none_helps(changed, effects)
        return
    name = min(helping, key=lambda name: _mean(helping[name]))
    most = f"{name} helps" if len(changed) == 1 else f"{name} helps most of {len(changed)} defenses"
    where = f", in {len(helped[name])} of {len(changed[name])} settings" if len(changed[name]) > 1 else ""
    yield f"{most}{where}: attack success changes by {_extent(helped[name], changed[name])}; {_sure(helped[name])}."
    # Who refuses everything is attacked in vain too.
    if harmless := _changed(effects, FALSE_REFUSALS).get(name):
        more = [item for item in harmless if item[1].change.value > 0 and _is_shown(item[1])]
        told = f"changes by {_extent(more[::-1], harmless)}; {_sure(more)}" if more else "is not shown to change"
        yield f"What {name} costs: how many harmless requests are refused {told}."


def _changed(effects: Sequence[Effect], metric: Metric) -> dict[str, list[Change]]:
    """The changes of a metric by defense, the lowest first; of refusals only where a refusal is the error."""
    found: dict[str, list[Change]] = {}
    for effect in effects:
        meant = metric is not FALSE_REFUSALS or "n/tested" not in effect.run.metrics
        if metric.name in effect.changes and meant and not effect.idle:
            found.setdefault(effect.run.defense, []).append((effect.run, effect.changes[metric.name]))
    return {name: sorted(items, key=lambda item: item[1].change.value) for name, items in found.items()}


def _none_helps(changed: Mapping[str, Sequence[Change]], effects: Sequence[Effect]) -> Iterator[str]:
    """Why the largest fall is not called help: among many comparisons even a large one may be chance."""
    if not changed:
        return
    name, found = min(changed.items(), key=lambda item: item[1][0][1].change.value)
    lowest = found[0][1]
    where = f"{name} ({_settings([run for run, _ in found])[0]})" if len(found) > 1 else name
    if lowest.change.value >= 0:
        least = f"the least change is with {where}, {_points(lowest)}"
        yield f"No defense is shown to help: attack success does not fall with any; {least}."
        return
    told = [(effect, name) for effect in effects for name, one in effect.changes.items() if one.p_holm is not None]
    tests = len({(rows_of(effect.run), name) for effect, name in told})
    corrected = (
        f", {_p(lowest.p_holm)} after correction over {tests} comparisons" if lowest.p_holm and tests > 1 else ""
    )
    yield (
        f"No defense is shown to help: attack success falls most with {where}, by {_points(lowest)}, which may be "
        f"chance ({_p(lowest.p)}{corrected}). More questions would tell: python -m mmsb.plan."
    )


def _helps(difference: Difference) -> bool:
    return difference.change.value < 0 and _is_shown(difference)


def _mean(found: Sequence[Change]) -> float:
    return fmean(difference.change.value for _, difference in found)


def _is_shown(difference: Difference) -> bool:
    return difference.p_holm is not None and difference.p_holm < ALPHA


def _extent(shown: Sequence[Change], measured: Sequence[Change]) -> str:
    """The ends of the changes that are shown, the least first, each with what tells its run from all measured ones."""
    # Of all: "text_only" alone would claim it of both models, where it was seen with one.
    runs = [run for run, _ in measured]
    names = dict(zip(map(id, runs), _settings(runs), strict=True))
    ends = [shown[-1], shown[0]] if len(shown) > 1 else shown
    if len(measured) == 1:
        return _points(shown[0][1])
    return " to ".join(f"{_points(difference)} ({names[id(run)]})" for run, difference in ends)


def _sure(helped: Sequence[Change]) -> str:
    p = _p(max(difference.p_holm or 0.0 for _, difference in helped))
    return f"chance alone would hardly do that ({p} after correction)"


def _p(value: float) -> str:
    p = p_value(value)
    return f"p {p.replace('<', '< ') if '<' in p else f'= {p}'}"


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
    if unread := ", ".join(f"{name} ({count:,})" for name, count in _unreadable(runs).items()):
        yield f"what a defense does where its checks can be read; unreadable were those of {unread}"
    asked = max(int(run.metrics["n/total"]) for run in rated)
    yield f"other questions than these {asked:,}"
    if missing := max(not_rated(run.metrics) for run in rated):
        answers = "one answer" if missing == 1 else f"{missing} answers"
        yield f"up to {answers} a run that could not be rated (the bounds below the rates)"
    if SANDBOX in {choice.get("model") for choice in choices}:
        yield f"anything about real models, where the model is the sandbox {SANDBOX}"


def _unreadable(runs: Sequence[Finished]) -> Counter[str]:
    """Checks whose reply could not be read, by defense: one that acts on nothing looks like one that does not help."""
    found = Counter[str]()
    for run in runs:
        found[run.defense] += int(run.values["record"]["totals"].get("unreadable_checks", 0))
    return +found


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
