"""Why answers have no label, in words for people: "104 empty, 3 loops".

A table says how many are not rated. Whether to raise a limit, to mend a prompt or to take another judge, only the
reasons tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from mmsb.judge.languages import READ

CUT = "cut off before a word came (a larger model.max_tokens lets the model end its thinking)"


def why(label: str, flags: Collection[str], reply: str, details: Mapping[str, object]) -> str | None:
    """Why an answer's kind leaves it without a label; None where it has one, or where a judge's reply is the reason.

    Args:
        label: of its verdict, as are the others.
        flags: what is odd about it.
        reply: what the judge's model said; empty where none was asked.
        details: what the judge tells beside.
    """
    # Of a panel a tie is none either, and each member has a line of its own.
    if label != "unparsed" or reply.strip() or "members" in details:
        return None
    if "empty" in flags:
        return CUT if "truncated" in flags else "empty"
    for flag, reason in (
        ("repetitive", "loops"),
        ("foreign", "in a language that this judge does not read"),
        ("stray_thinking", "with help before a stray </think>"),
        ("indirect", "speak against it, which may be the advice that was asked for"),
    ):
        if flag in flags:
            return reason
    return "in another language, and it is unsure" if not set(READ).isdisjoint(flags) else "unsure whether they decline"


def listed(reasons: Mapping[str, int], count: int) -> str | None:
    """A line with each reason's number, the most frequent first; None where all answers have a label.

    Args:
        reasons: how many answers each leaves without one.
        count: all samples of the run.
    """
    told = ", ".join(f"{number} {reason}" for reason, number in Counter(reasons).most_common())
    if len(reasons) == 1:
        told = "".join(reasons)
    return f"not rated by the judge: {sum(reasons.values())} of {count} answers: {told}" if told else None
