"""What a calibration looks like on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from mmsb.calibrate.report import Report, Scopes
from mmsb.console import tell
from mmsb.labels.draw import Draw
from mmsb.metrics.agreement import Agreement
from mmsb.metrics.corrected import Corrected
from mmsb.metrics.discrimination import Discrimination
from mmsb.metrics.rates import Rate
from mmsb.scenario import official_scenarios
from mmsb.terminal import LEFT, inline, print_table
from mmsb.terminal import change as points

TITLES = {
    "all": "All",
    "harm": "Harm scenarios",
    "policy": "Policy scenarios",
    "macro": "Average over scenarios (macro)",
    "micro": "All answers (micro)",
}
CAPTION = (
    "Sensitivity: unsafe answers found. Specificity: safe answers left alone. In brackets the 95 % interval. No "
    "label: the judge said neither safe nor unsafe; these are in no rate."
)
OWN = (
    "The labels were drawn from the run ({}; {} of {} answered questions), each counted by its probability. Nothing is "
    "assumed of the judge. Answers without a verdict are in the corrected rate; of two runs, what both answered."
)
EXTERNAL = (
    "EXTERNAL LABELS: they are not of this run's answers. The correction holds only if the judge errs on the run as on "
    "the labels. Where its sensitivity and specificity may differ by 5 or by 10 points, the last columns hold. Label a "
    "part of the run itself (python -m mmsb.review run=... labels=...) before you rest on it."
)
AREAS = (
    "AUROC: the chance that an unsafe answer has the higher score. AUPRC: average precision; of a useless score it is "
    "the share of unsafe answers. In brackets the 95 % interval. No score: in neither."
)
THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99)
BOLD: dict[str, Any] = {"title_style": "bold", **LEFT}
NOT_CORRECTED = "no labels of both kinds, or the judge is no better than chance"
NOT_LABELLED = "none of these answers is labelled yet"


def print_report(report: Report, drawn: Draw | None = None) -> None:
    """Print what was found.

    Args:
        report: of the calibration.
        drawn: the draw that the labels are of.
    """
    print_table(agreement_table(report))
    whole = report.scopes.get("all")
    if whole:
        unsure_safe, unsure_unsafe = whole.unparsed
        # Counts too: a sensitivity of 100 % over three answers should look like what it is.
        print(f"labelled unsafe: {whole.found} judged unsafe, {whole.missed} safe, {unsure_unsafe} neither")
        print(f"labelled safe:   {whole.alarms} judged unsafe, {whole.passed} safe, {unsure_safe} neither")
    if report.open:
        tell(f"{report.open} answers are open (skipped, or their raters disagree evenly): they may be either")
    if report.discrimination:
        print_table(discrimination_table(report.discrimination))
        print_table(threshold_table(report.discrimination))
    if report.pairs:
        pairs = {**report.pairs, "all together (alpha)": report.alpha}
        print_table(kappa_table("Raters and judges, pair by pair", pairs))
    if report.members:
        print_table(kappa_table("The run's panel, pair by pair", report.members))
    why_not = NOT_LABELLED if report.own else NOT_CORRECTED
    for title, scopes, drifted in (
        ("ASR of the run, corrected for the judge's errors", report.asr, report.drifted),
        ("ASR of the other run, corrected", report.other_asr, {}),
    ):
        if scopes:
            print_table(corrected_table(title, scopes, drifted, why_not))
    if report.difference:
        title = "Difference, other run minus run, in points, corrected"
        print_table(corrected_table(title, report.difference, {}, why_not, change=True))
    if report.asr and report.own and drawn:
        questions = sum(drawn.sizes.values())
        tell(OWN.format(f"by={drawn.by} seed={drawn.seed}", len(drawn.items), questions))
    elif report.asr:
        tell(EXTERNAL)


def agreement_table(report: Report) -> Table:
    """One line a scope."""
    table = Table(title=escape(f"{report.judge} against labels"), caption=CAPTION, **BOLD)
    table.add_column("scenario")
    for heading in ("n", "sensitivity %", "specificity %", "accuracy %", "kappa", "no label"):
        table.add_column(heading, justify="right")
    titles = TITLES | {scenario.name: scenario.title for scenario in official_scenarios()}
    for scope, found in report.scopes.items():
        table.add_row(escape(titles.get(scope, scope)), *agreement_cells(found), end_section=scope == "policy")
    return table


def agreement_cells(found: Agreement) -> list[str]:
    """Numbers of one line."""
    n = found.found + found.missed + found.alarms + found.passed + sum(found.unparsed)
    rates = (found.sensitivity, found.specificity, found.accuracy)
    return [str(n), *map(rounded, rates), coefficient(found.kappa), str(sum(found.unparsed))]


def discrimination_table(scopes: Mapping[str, Discrimination]) -> Table:
    """How the scores rank the answers, by scope."""
    table = Table(title="The judge's scores against labels, whatever the threshold", caption=AREAS, **BOLD)
    table.add_column("scenario")
    for heading in ("n", "unsafe %", "AUROC", "AUPRC", "no score"):
        table.add_column(heading, justify="right")
    for scope, found in scopes.items():
        n = found.unsafe + found.safe
        unsafe = f"{100 * found.unsafe / n:.0f}"
        areas = (coefficient(found.auroc), coefficient(found.auprc))
        table.add_row(escape(TITLES.get(scope, scope)), str(n), unsafe, *areas, str(found.unscored))
    return table


def threshold_table(scopes: Mapping[str, Discrimination]) -> Table:
    """What some thresholds would make of the scores; every point of the curve is in the file of numbers."""
    table = Table(title="If answers were unsafe from a score on (of a guard: judge.threshold)", **BOLD)
    for heading in ("threshold", "sensitivity %", "false alarms %", "precision %"):
        table.add_column(heading, justify="right")
    for threshold in THRESHOLDS:
        point = scopes["all"].at(threshold)
        shares = (point.found, point.alarms, point.precision)
        table.add_row(f"{threshold:g}", *("-" if share is None else f"{100 * share:.0f}" for share in shares))
    return table


def kappa_table(title: str, pairs: Mapping[str, Rate | None]) -> Table:
    """Kappa by pair."""
    table = Table(title=title, **BOLD)
    table.add_column("who")
    table.add_column("kappa", justify="right")
    table.add_column("n", justify="right")
    for who, rate in pairs.items():
        table.add_row(escape(who), coefficient(rate), str(rate.n) if rate else "-")
    return table


def corrected_table(
    title: str, scopes: Scopes, drifted: Mapping[float, Scopes], why_not: str, change: bool = False
) -> Table:
    """Rates as judged, and corrected; further columns say what a judge that errs differently would leave of that.

    Args:
        title: of the table.
        scopes: the corrected rates; None where one could not be corrected.
        drifted: the same, by how much the judge's errors may differ.
        why_not: why a rate could not be corrected.
        change: they are differences, in points, and not rates, in percent.
    """
    table = Table(title=title, **BOLD)
    drifts = [f"errors {100 * drift:g} points off" for drift in drifted]
    unit = "" if change else " %"
    for heading in ("scope", f"as judged{unit}", f"corrected{unit} [95 %]", *drifts, "note"):
        table.add_column(heading, justify="left" if heading in ("scope", "note") else "right")
    for scope, found in scopes.items():
        if found is None:
            table.add_row(TITLES[scope], "-", "-", *("-" for _ in drifts), why_not)
            continue
        # The interval alone: the corrected value under a guessed drift is no estimate.
        further = [ends(other) for scopes in drifted.values() if (other := scopes[scope])]
        observed = "-" if found.observed is None else f"{100 * found.observed:{'+' if change else ''}.1f}"
        corrected = points(found.value) if change else inline(found.value)
        table.add_row(TITLES[scope], observed, corrected, *further, note(found))
    return table


def note(found: Corrected) -> str:
    """What a reader of the corrected rate should know."""
    # first, since it makes the value a guess; clipping only moves it to the edge
    if found.unlabelled:
        return f"{100 * found.unlabelled:.1f} % of it in kinds of answers without a label"
    if found.unclipped != found.value.value:
        return f"clipped from {100 * found.unclipped:.1f}: the labels do not fit this run"
    return ""


def ends(found: Corrected) -> str:
    """An interval alone."""
    return f"[{100 * found.value.low:.1f}, {100 * found.value.high:.1f}]"


def rounded(rate: Rate | None) -> str:
    """A rate in whole percent with its interval: a few hundred labels give no more."""
    return f"{100 * rate.value:.0f} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]" if rate else "-"


def coefficient(rate: Rate | None) -> str:
    """Kappa or alpha with its interval."""
    return f"{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]" if rate else "-"
