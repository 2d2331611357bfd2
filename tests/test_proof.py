"""A slice of the proof (`make proof` is all of it): the same attacks on the real command, a few of each."""

from __future__ import annotations

import random

import pytest

from tests.proof.attack import Attack
from tests.proof.lab import compiler, lab
from tests.proof.scenes import SCENES


@pytest.mark.skipif(compiler() is None, reason="no C compiler: the shim is compiled when it is wanted")
def test_a_run_survives_kills_power_cuts_and_a_full_disk() -> None:
    with lab() as laboratory:
        attack, chance = Attack(laboratory, SCENES[0]), random.Random(5)
        attack.kills(3, chance)
        attack.power(1, chance)
        attack.full(1, chance)
    assert attack.tally.counts["kills"] >= 1
    assert attack.tally.counts["power cuts"] == 1
    assert attack.tally.wrong == []
