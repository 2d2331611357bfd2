"""The tables of docs/calibration.md, from what was measured: `python -m tools.offline_judge.tables DATA`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.offline_judge.measure import share

BASELINES = {
    "rules alone": "the rules alone",
    "opening match": "opening match",
    "match anywhere": "a match of phrases anywhere",
}
NAMES = {"xstest": "XSTest", "msts": "MSTS", "chatgpt_refusals": "ChatGPT refusals"}
READ_AS = ("refusal", "unsure", "compliance")
KINDS = ("refusal", "partial", "compliance", "disclaimer", "evasion", "unsure", "degenerate")
Figures = Mapping[str, Any]
AT_THEIRS = "found at the rules' false alarms"


def row(*cells: object) -> str:
    """One line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def rate(found: Sequence[float] | None, places: int = 1) -> str:
    """Percent with its interval."""
    if found is None or not found[-1]:
        return ""
    return f"{found[0]:.{places}f} [{found[1]:.{places}f}, {found[2]:.{places}f}]"


def head(*cells: str) -> list[str]:
    """A table's first two lines."""
    return [row(*cells), row(*["---"] * len(cells)).replace(" ", "")]


def against_lists(name: str, of: Figures) -> Iterator[str]:
    """One source: ours, then lists of phrases with what ours finds at their false alarms."""
    found, helpful = of["found"][-1], of["false alarms"][-1]
    yield row(f"**{name} ({found:,} refusals, {helpful:,} helpful answers)**", "", "", "")
    yield row("offline judge", rate(of["found"]), rate(of["false alarms"]), "")
    for key, told in BASELINES.items():
        other = of[key]
        ours = other.get("ours at its false alarms", "")
        yield row(told, rate(other["found"]), rate(other["false alarms"]), ours)


def lists(sources: Iterable[tuple[str, Figures]]) -> list[str]:
    """Sources beside lists of phrases."""
    top = head("method", "refusals found", "helpful answers taken for refusals", "ours at those false alarms")
    return top + [line for name, of in sources for line in against_lists(name, of)]


def harm(unread: Figures) -> list[str]:
    """Harmful answers found and harmless ones left alone, by the harm rule."""
    sets = {"harmbench": "HarmBench's validation", "jailjudge": "JailJudge", "safe_rlhf": "Safe-RLHF"}
    lines = head("method", *(f"{told}: harmful found / harmless left alone / abstained" for told in sets.values()))
    for method in unread["harmbench"]:
        cells = (unread[name][method] for name in sets)
        shown = (f"{one['unsafe found'][0]} / {rate(one['safe left'])} / {one['abstained'][0]}" for one in cells)
        lines.append(row(method, *shown))
    return lines


def left_out(nested: Figures) -> list[str]:
    """Each source left out of everything."""
    lines = head(
        "source left out", "thresholds", "found", "the rules", "false alarms", "the rules",
        "raised by us alone, by the rules alone (McNemar's p)", "found at 0.5 / 1 / 2 / 5 %", "abstained",
        "calibration error; of what is decided; shifted",
    )  # fmt: skip
    for key, name in NAMES.items():
        of = nested[key]
        only, other, chance = of["false alarms against the rules'"]
        errors = (of[f"calibration error{which}"] for which in ("", ", decided", ", shifted"))
        lines.append(
            row(
                f"{name} ({of['found'][-1]:,} refusals, {of['false alarms'][-1]:,} helpful)",
                f"{of['thresholds'][0]}, {of['thresholds'][1]}",
                *(rate(of[which]) for which in ("found", "rules found", "false alarms", "rules false alarms")),
                f"{only}, {other} ({max(chance, 0.001):.2g})",
                " / ".join(str(of["found at"][at]) for at in ("0.5", "1", "2", "5")),
                of["abstained"][0],
                "; ".join(f"{error:.3f}" for error in errors),
            )
        )
    return lines


def met(bar: bool, told: str) -> str:
    """Whether a bar is met, and by what."""
    return f"met: {told}" if bar else f"**missed: {told}**"


def bars(measured: Figures) -> list[str]:
    """What was asked of the reading, source by source."""
    nested, alone = measured["nested"], measured["english"]["leaving one source out"]
    only = (measured["untouched"], measured["unread"]["xstest_response"])
    rules = [of["rules alone"] for of in only]
    sources = [nested[key] for key in NAMES]
    of = [*sources, *only]
    found = [*(one["rules found"][0] for one in sources), *(one["found"][0] for one in rules)]
    alarms = [*(one["rules false alarms"][0] for one in sources), *(one["false alarms"][0] for one in rules)]
    ours = [
        *(one[AT_THEIRS] for one in sources),
        *(one["ours at its false alarms"] for one in rules),
    ]
    matched = [
        [one[how]["ours at its false alarms"] - one[how]["found"][0] for how in ("opening match", "match anywhere")]
        for one in (*(alone[key] for key in NAMES), *only)
    ]
    raised = [one["false alarms"][0] for one in of]
    lines = head("bar", *NAMES.values(), "Do-Not-Answer", "XSTest's questions, other systems")
    lines += [
        row(told, *cells)
        for told, cells in {
            "finds more than the rules": _more(one["found"][0] - least for one, least in zip(of, found, strict=True)),
            "fewer false alarms than the rules": (
                f"equal: {mine}" if mine == most else met(mine < most, f"{mine} for {most}")
                for mine, most in zip(raised, alarms, strict=True)
            ),
            "more than the rules at the rules' number of false alarms": _more(
                one - least for one, least in zip(ours, found, strict=True)
            ),
            'more than a string match ("opening", "anywhere") at its false alarms': (
                met(min(more) > 0, ", ".join(f"{one:+.1f}" for one in more)) for more in matched
            ),
            "calibration error under 0.05 (by chance, were the probabilities right)": (
                met(one["calibration error"] < 0.05, f"{one['calibration error']:.3f}")
                + f" ({one['calibration error, by chance']:.3f})"
                for one in of
            ),
            "the same of the likeliest class (by chance)": (
                met(one["calibration error, likeliest"] < 0.05, f"{one['calibration error, likeliest']:.3f}")
                + f" ({one['calibration error, likeliest, by chance']:.3f})"
                for one in of
            ),
            "the same, when the share of refusals is estimated (below)": (
                met(one["calibration error, shifted"] < 0.05, f"{one['calibration error, shifted']:.3f}") for one in of
            ),
            "abstention under 8 %": (met(one["abstained"][0] < 8, str(one["abstained"][0])) for one in of),
            "aim: 92 % at 2 % false alarms, source left out": (one["found at"]["2"] for one in of),
        }.items()
    ]
    return lines


def _more(differences: Iterable[float]) -> Iterator[str]:
    return (met(one > 0, f"{one:+.1f}") for one in differences)


def read_as(kinds: Figures) -> list[str]:
    """What answers of each kind are read as."""
    seen = [kind for kind in KINDS if any(kind in counts for counts in kinds.values())]
    lines = head("read as", "n", *seen)
    return lines + [
        row(kind, sum(counts.values()), *(counts.get(one, 0) for one in seen)) for kind, counts in kinds.items()
    ]


def ideas(measured: Figures) -> list[str]:
    """What each idea brings."""
    return head("idea (found at 2 % false alarms, the source left out)", "XSTest", "MSTS") + [
        row(name, of["xstest"], of["msts"]) for name, of in measured.items()
    ]


def ways(tried: Figures, nested: Figures) -> list[str]:
    """What was tried and is not shipped."""
    lines = head("way", *NAMES.values(), "partial refusals found, XSTest left out")
    for name, of in {"shipped": nested, **tried}.items():
        if "xstest" in of and "found" in of["xstest"]:
            cells = (f"{rate(of[key]['found'])} @ {rate(of[key]['false alarms'])}" for key in NAMES)
            lines.append(row(name, *cells, of["xstest"]["partial"][0]))
    return lines


def calibration(tried: Figures) -> list[str]:
    """The calibration error of each source, scaled in one way or another."""
    of = tried["calibration error"]
    return head("calibration error", *NAMES.values()) + [
        row(how, *(f"{of[key][how]:.3f}" for key in NAMES)) for how in of["xstest"]
    ]


def encoder(measured: Figures) -> list[str]:
    """A fine-tuned encoder beside the reading, each source left out of both; odd wordings with nothing left out."""
    lines = head(
        "way", *NAMES.values(), "partial refusals found, XSTest left out", "odd refusals: found / abstained / help"
    )
    odd = {name: kinds["refusal"] for name, kinds in measured["encoder, none left out"]["odd"].items()}
    odd["reading"] = odd["raised, 0.0"]
    left = {key: measured[f"encoder, {key} left out"] for key in NAMES}
    for way, of in left["xstest"].items():
        if isinstance(of, dict) and "found" in of:
            cells = (
                f"{one[AT_THEIRS]}; "
                f"{' / '.join(map(str, one['found at'].values()))}; "
                f"{one['found'][0]} @ {one['false alarms'][0]}; {one['calibration error']:.3f}"
                for one in (left[key][way] for key in NAMES)
            )
            told = " / ".join(str(odd[way].get(kind, 0)) for kind in READ_AS) if way in odd else ""
            lines.append(row(way, *cells, of["partial"][0], told))
    return lines


def abroad(measured: Figures) -> list[str]:
    """Other languages, by people's labels, leaving one system out; our sentences; help as a model labelled it."""
    lines = head(
        "language", "refusals found, of those with a label", "abstained %", "refusals read as help %", "n",
        "our sentences: found / abstained / help", "real helpful answers: refusal / abstained / help %",
    )  # fmt: skip
    for language, ours in measured["our sentences"].items():
        counts = measured["people, leaving one system out"].get(f"{language} refusal", {})
        total, found, help_ = sum(counts.values()), counts.get("refusal", 0), counts.get("compliance", 0)
        people = (
            [
                rate(share(found, found + help_)),
                f"{100 * counts.get('unsure', 0) / total:.0f}",
                rate(share(help_, total)),
                total,
            ]
            if total
            else [""] * 4
        )
        told = measured["answered, by a model"].get(language, {})
        many = sum(told.values())
        real = (
            " / ".join(f"{100 * told.get(one, 0) / many:.0f}" for one in READ_AS) + f" (of {many})" if many > 1 else ""
        )
        sentences = " / ".join(str(ours.get(one, 0)) for one in READ_AS)
        lines.append(row(language, *people, sentences, real))
    return lines


def parted(counts: Figures) -> str:
    """Shares that are read as a refusal, abstained from, and read as help, and of how many."""
    many = sum(counts.values())
    return " / ".join(f"{100 * counts.get(one, 0) / many:.1f}" for one in READ_AS) + f" (of {many:,})" if many else ""


def source_abroad(kinds: Figures) -> list[str]:
    """A source that was left out: its refusals and its help, by language."""
    lines = head("language", "refusals: found / abstained / help %", "helpful answers: refusal / abstained / help %")
    for language in sorted({name.split()[0] for name in kinds}):
        cells = (parted(kinds.get(f"{language} {kind}", {})) for kind in ("refusal", "answered"))
        lines.append(row(language, *cells))
    return lines


def probe(found: Figures) -> list[str]:
    """Our unseen answers about pictures, by language and together."""
    lines = head(
        "language", "refusals: found / abstained / help", "helpful answers: refusal / abstained / help / other"
    )
    whole: dict[str, Counter[str]] = {"refusal": Counter(), "help": Counter()}
    for kinds in found.values():
        for kind, counts in kinds.items():
            whole[kind].update(counts)
    for name, kinds in {**found, "together": whole}.items():
        refused, helped = ([kinds[kind].get(one, 0) for one in READ_AS] for kind in ("refusal", "help"))
        other = sum(kinds["help"].values()) - sum(helped)
        lines.append(row(name, " / ".join(map(str, refused)), " / ".join(map(str, [*helped, other]))))
    return lines


def curve(of: Figures) -> list[str]:
    """Refusals read as help against help that is told."""
    lines = head(
        "helps up to", "refusals of MSTS read as help", "of PolyRefuse", "Korean ones", "help told %", "Korean %",
    )  # fmt: skip
    return lines + [row(name, *cells) for name, cells in of.items() if " " not in name]


def tables(measured: Figures) -> dict[str, list[str]]:
    """Every table by its heading."""
    english, unread, nested = measured["english"], measured["unread"], measured["nested"]
    source, system = english["leaving one source out"], english["leaving one system out"]
    outs = {**{f"{name}, source left out": source[key]["kinds"] for key, name in NAMES.items()}}
    return {
        "Answers that nobody of us has read": lists(
            [("XSTest's questions, other systems", unread["xstest_response"]), ("Blind people's", unread["lfvqa"])]
        ),
        "Harm": harm(unread),
        "Do-Not-Answer": lists([("Do-Not-Answer", measured["untouched"])]),
        "Leaving a source out of everything": left_out(nested),
        "The same with the thresholds of the package": left_out(nested["of the package"]),
        "What was asked of it": bars(measured),
        "Thresholds of the package": lists(
            [*((f"{name}, left out", source[key]) for key, name in NAMES.items())]
            + [(f"{NAMES[key]}, systems left out", system[key]) for key in ("xstest", "msts")]
            + [("MSTS, systems that were not read", english["MSTS, systems that nobody read"])]
        ),
        **{f"Read as ({name})": read_as(kinds) for name, kinds in outs.items()},
        "Read as (XSTest, systems left out)": read_as(system["xstest"]["kinds"]),
        "Read as (XSTest's questions, other systems)": read_as(unread["xstest_response"]["kinds"]),
        "Read as (blind people's)": read_as(unread["lfvqa"]["kinds"]),
        "Read as (Do-Not-Answer)": read_as(measured["untouched"]["kinds"]),
        "Ideas": ideas(measured["ideas"]),
        "Tried": ways(measured["tried"], nested),
        "Encoder": encoder(measured),
        "Calibration": calibration(measured["tried"]),
        "Other languages": abroad(measured["abroad"]),
        "Help in other languages": curve(measured["abroad"]["never help"]),
        "PolyRefuse, left out": source_abroad(measured["abroad"]["PolyRefuse, left out"]),
        "Probe": probe(measured["abroad"]["probe"]),
        "Korean, unread": read_as(measured["abroad"]["Korean, by a model"]),
        "Chinese, never trained on": read_as(measured["abroad"]["Chinese, by people"]),
    }


if __name__ == "__main__":
    for heading, lines in tables(json.loads((Path(sys.argv[1]) / "measured.json").read_text())).items():
        print(f"\n{heading}\n", *lines, sep="\n")
