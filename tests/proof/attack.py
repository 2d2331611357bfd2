"""What is done to a scene, and what it must leave all the same."""

from __future__ import annotations

import random
import resource
import shutil
import time
import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.proof.cluster import NODE, Killer, cluster
from tests.proof.lab import KILLS, Ended, Lab, Mode, lab
from tests.proof.left import Left, keep_all, lose_power
from tests.proof.scenes import SCENES, Scene

CHAIN = 3  # kills, one after the other, before the command is let through
SEED = 17
LOSSES = 6  # processes of Ray, of each scene that has some
VANISH = 10  # folders, of each scene that begins with nothing


@dataclass
class Tally:
    """What was done to a scene, and what it did not survive."""

    scene: str
    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cpu: float = 0.0

    def count(self, what: str, number: int = 1) -> None:
        """Note attacks that took place."""
        self.counts[what] = self.counts.get(what, 0) + number


class Attack:
    """A scene with what it leaves when nobody disturbs it."""

    def __init__(self, laboratory: Lab, scene: Scene, env: Mapping[str, str] = MappingProxyType({})) -> None:
        self.lab = laboratory
        self.scene = scene
        self.env = dict(env)
        self.arguments = scene.arguments(laboratory)
        self.template: Path | None = None
        if scene.before:
            self.template = laboratory.folder()
            scene.before(laboratory, self.template)
        folder, before = laboratory.folder(self.template), laboratory.asked
        ended = laboratory.run(folder, scene.module, *self.arguments, rater=scene.rater, env=self.env)
        assert ended.codes == [0], ended.output
        self.whole = Left.of(folder, laboratory.asked - before)
        self.steps = ended.steps
        self.tally = Tally(scene.name)

    def undisturbed(self, folder: Path, before: int) -> tuple[Left, Ended]:
        """Let the command through; what it leaves, and what was asked since `before`."""
        ended = self.disturbed(folder)
        return Left.of(folder, self.lab.asked - before), ended

    def check(self, what: str, folder: Path, before: int, kills: int) -> None:
        """The same command again: it must leave what an undisturbed one leaves."""
        left, ended = self.undisturbed(folder, before)
        found = left.differs(self.whole, kills)
        if ended.codes != [0]:
            found.append(f"the same command ended with {ended.codes}: {ended.output[-400:]}")
        self.tally.wrong += [f"{self.scene.name}: {what}: {one}" for one in found]
        shutil.rmtree(folder)

    def disturbed(self, folder: Path, **how: Any) -> Ended:
        """Run the command with something broken."""
        return self.lab.run(folder, self.scene.module, *self.arguments, rater=self.scene.rater, env=self.env, **how)

    def kills(self, number: int, chance: random.Random) -> None:
        """SIGKILL at write boundaries: each boundary in turn, before, within and after the call."""
        places = [(mode, at) for at in range(1, self.steps + 1) for mode in KILLS]
        chance.shuffle(places)
        for start in range(0, number, CHAIN):
            folder, before, killed = self.lab.folder(self.template), self.lab.asked, 0
            chain = sorted(places[start : start + CHAIN], key=lambda place: place[1])
            for mode, at in chain:
                killed += self.disturbed(folder, mode=mode, at=at).codes == [-9]
            self.tally.count("kills", killed)
            self.check(f"killed {[(mode.name, at) for mode, at in chain]}", folder, before, killed)

    def moments(self, number: int, chance: random.Random) -> None:
        """SIGKILL at random moments."""
        takes = self._takes()
        for _ in range(0, number, CHAIN):
            folder, before, killed = self.lab.folder(self.template), self.lab.asked, 0
            for _ in range(CHAIN):
                killed += self.disturbed(folder, seconds=chance.uniform(0.02, takes)).codes == [-9]
            self.tally.count("kills", killed)
            self.check("killed at random", folder, before, killed)

    def power(self, number: int, chance: random.Random) -> None:
        """Power loss: what was not synced is gone; how much was asked again is not held against it."""
        for _ in range(number):
            folder, before = self.lab.folder(self.template), self.lab.asked
            shadow = folder.with_name(f"{folder.name}-disk")
            keep_all(folder, shadow)
            at = chance.randint(1, self.steps)
            cut = self.disturbed(folder, mode=Mode.KILL_AFTER, at=at, shadow=str(shadow))
            self.tally.count("power cuts", int(cut.codes == [-9]))
            lose_power(folder, shadow)
            self.check(f"power lost after step {at}", folder, before, 1000)

    def full(self, number: int, chance: random.Random) -> None:
        """A disk that is full from some step on, or cannot be written at all: an error for people, and no harm done."""
        for turn in range(number):
            folder, before = self.lab.folder(self.template), self.lab.asked
            mode, at = (Mode.FULL, chance.randint(1, self.steps)) if turn % 8 else (Mode.READ_ONLY, 1)
            ended = self.disturbed(folder, mode=mode, at=at)
            self.tally.count("full or read-only disks")
            if ended.codes not in ([1], [0]) or "Traceback" in ended.output:
                self.tally.wrong.append(f"{self.scene.name}: {mode.name} at {at}: {ended.codes}: {ended.output[-600:]}")
            self.check(
                f"{mode.name} at step {at}", folder, before, 2
            )  # what was under way, and what those made room for

    def clocks(self) -> None:
        """A clock that jumps by a day, back and forth."""
        folder, before = self.lab.folder(self.template), self.lab.asked
        ended = self.disturbed(folder, mode=Mode.CLOCK)
        self.tally.count("jumping clocks")
        if ended.codes != [0]:
            self.tally.wrong.append(f"{self.scene.name}: clock: {ended.codes}: {ended.output[-400:]}")
        self.check("a clock that jumps", folder, before, 0)

    def vanishing(self, number: int, chance: random.Random) -> None:
        """The folder of outputs is removed while the command runs: an error for people; the next one begins anew."""
        takes = self._takes()
        for _ in range(number):
            folder, before = self.lab.folder(self.template), self.lab.asked
            ended = self.disturbed(folder, vanish=chance.uniform(0.02, takes))
            self.tally.count("vanishing folders")
            if ended.codes not in ([1], [0]) or "Traceback" in ended.output:
                self.tally.wrong.append(f"{self.scene.name}: vanished: {ended.codes}: {ended.output[-600:]}")
            self.check("a folder that vanishes", folder, before, 1000)

    def _takes(self) -> float:
        """Seconds that the command takes undisturbed."""
        started = time.monotonic()
        self.disturbed(self.lab.folder(self.template))
        return time.monotonic() - started

    def together(self) -> None:
        """Eight starts at the same moment in one folder: all do the work, or one does and the others are told so."""
        folder, before = self.lab.folder(self.template), self.lab.asked
        ended = self.disturbed(folder, together=8)
        self.tally.count("starts at once", 8)
        refused = ended.output.count(self.scene.refuses) if self.scene.refuses else 0
        if sorted(ended.codes) != [0] * (8 - refused) + [1] * refused or refused == 8 or "Traceback" in ended.output:
            self.tally.wrong.append(f"{self.scene.name}: 8 at once: {ended.codes}: {ended.output[-800:]}")
        self.check("8 starts at once", folder, before, 1)  # of what they claim at the same moment, some twice

    def losses(self, number: int, chance: random.Random) -> None:
        """One of Ray's processes dies at a random moment: the command ends as if none had."""
        takes = self._takes()
        for _ in range(number):
            folder, before = self.lab.folder(self.template), self.lab.asked
            # A node that died is none any more: the next one needs a cluster of its own.
            with cluster(NODE) if self.scene.ray == NODE else nullcontext(self.env) as self.env:
                killer = Killer(self.scene.ray, chance.uniform(0.0, takes))
                left, ended = self.undisturbed(folder, before)
                killed = killer.end()
            self.tally.count("of Ray's processes", killed)
            found = left.differs(self.whole, killed)
            if ended.codes != [0]:
                found.append(f"it ended with {ended.codes}: {ended.output[-600:]}")
            self.tally.wrong += [f"{self.scene.name}: {killed} of Ray's processes killed: {one}" for one in found]
            shutil.rmtree(folder)

    def all(self, share: float) -> Tally:
        """All attacks on the scene, or a share of them."""
        chance = random.Random(SEED)
        kinds = (self.kills, self.moments, self.power, self.full)
        for kind, number in zip(kinds, self.scene.attacks, strict=True):
            if number:
                kind(max(1, round(number * share)), chance)
        if self.scene.ray:
            self.losses(max(1, round(LOSSES * share)), chance)
            return self.tally
        self.clocks()
        if not self.scene.before:  # else what it begins with would be gone as well
            self.vanishing(max(1, round(VANISH * share)), chance)
        if self.scene.together:
            self.together()
        return self.tally


def attacked(number: int, share: float) -> Tally:
    """All attacks on one scene; whatever ends them early is something wrong too."""
    scene, began = SCENES[number], time.monotonic()
    tally = Tally(scene.name)
    before = cpu()
    try:
        with lab(scene.imports) as laboratory, cluster(scene.ray) as env:
            attack = Attack(laboratory, scene, env)
            tally = attack.tally
            attack.all(share)
    except Exception:
        tally.wrong.append(f"{scene.name}: the attacks ended: {traceback.format_exc()[-2000:]}")
    tally.seconds, tally.cpu = time.monotonic() - began, cpu() - before
    return tally


def cpu() -> float:
    """Seconds of CPU that this process and those it waited for have taken."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
