"""Errors for people: they reach who began a process as they were raised in it."""

from __future__ import annotations

import pickle

import pytest

from mmsb import budget, errors


def kinds(kind: type[errors.MmsbError]) -> list[type[errors.MmsbError]]:
    """A class of errors and all that are made of it."""
    return [kind, *(deeper for one in kind.__subclasses__() for deeper in kinds(one))]


@pytest.mark.parametrize("kind", kinds(errors.MmsbError), ids=lambda kind: kind.__name__)
def test_an_error_crosses_to_another_process_whole(kind: type[errors.MmsbError]) -> None:
    assert issubclass(budget.BudgetReached, errors.MmsbError)
    more = {"letters": "漢字"} if kind is errors.MissingGlyphs else {}
    raised = kind("what is wrong", "what to do", **more)
    again = pickle.loads(pickle.dumps(raised))
    assert type(again) is kind
    assert vars(again) == vars(raised)
    assert str(again) == "what is wrong\nwhat to do"
