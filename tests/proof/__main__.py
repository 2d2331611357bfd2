"""python -m tests.proof [share [scene]]: all attacks, or a share of them on one scene; prints what came of it."""

from __future__ import annotations

import random
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.proof.lab import KILLS, Ended, Lab, Mode, compiler, keep_all, lab, lose_power
from tests.proof.scenes import SCENES, Left, Scene

CHAIN = 3  # kills, one after the other, before the command is let through
SEED = 17
VANISH = 10  # folders, of each scene that begins with nothing
PLAN = {  # attacks on each scene, of each kind: at write boundaries, at random moments, power, full disk
    "a run": (240, 30, 30, 30),
    "a run that is recorded": (45, 15, 15, 10),
    "the first run of all, which makes mlflow.db": (24, 6, 6, 4),
    "a sweep that is recorded": (24, 9, 6, 4),
    "judging again": (45, 9, 12, 8),
    "recording a finished run": (24, 6, 6, 4),
    "making a dataset": (30, 6, 9, 8),
    "typing, stacking and describing a dataset": (24, 6, 6, 4),
    "a run through a batch interface": (30, 6, 6, 4),
    "a run of a local model": (18, 6, 4, 4),
}


@dataclass
class Tally:
    """What was done to a scene, and what it did not survive."""

    scene: str
    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def count(self, what: str, number: int = 1) -> None:
        """Note attacks that took place."""
        self.counts[what] = self.counts.get(what, 0) + number


class Attack:
    """A scene with what it leaves when nobody disturbs it."""

    def __init__(self, laboratory: Lab, scene: Scene) -> None:
        self.lab = laboratory
        self.scene = scene
        self.arguments = scene.arguments(laboratory)
        self.template: Path | None = None
        if scene.before:
            self.template = laboratory.folder()
            scene.before(laboratory, self.template)
        folder, before = laboratory.folder(self.template), laboratory.asked
        ended = laboratory.warm(folder, scene.module, *self.arguments)
        assert ended.codes == [0], ended.output
        self.whole = Left.of(folder, laboratory.asked - before)
        self.steps = ended.steps
        self.tally = Tally(scene.name)

    def undisturbed(self, folder: Path, before: int) -> tuple[Left, Ended]:
        """Let the command through; what it leaves, and what was asked since `before`."""
        ended = self.lab.run(folder, self.scene.module, *self.arguments)
        return Left.of(folder, self.lab.asked - before), ended

    def check(self, what: str, folder: Path, before: int, kills: int) -> None:
        """The same command again: it must leave what an undisturbed one leaves."""
        left, ended = self.undisturbed(folder, before)
        found = left.differs(self.whole, kills)
        if ended.codes != [0]:
            found.append(f"the same command ended with {ended.codes}: {ended.output[-400:]}")
        self.tally.wrong += [f"{self.scene.name}: {what}: {one}" for one in found]
        shutil.rmtree(folder)

    def disturbed(self, folder: Path, **how: object) -> Ended:
        """Run the command with something broken."""
        return self.lab.run(folder, self.scene.module, *self.arguments, **how)

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
        """Eight starts at the same moment in one folder."""
        folder, before = self.lab.folder(self.template), self.lab.asked
        ended = self.disturbed(folder, together=8)
        self.tally.count("starts at the same moment", 8)
        if set(ended.codes) != {0}:
            self.tally.wrong.append(f"{self.scene.name}: 8 at once: {ended.codes}: {ended.output[-800:]}")
        self.check("8 starts at once", folder, before, 1000)


def attacks(laboratory: Lab, share: float, only: str) -> Iterator[Tally]:
    """All attacks on all scenes."""
    for scene in SCENES:
        if only and only != scene.name:
            continue
        chance, attack = random.Random(SEED), Attack(laboratory, scene)
        kinds: tuple[Callable[[int, random.Random], None], ...] = (
            attack.kills, attack.moments, attack.power, attack.full,
        )  # fmt: skip
        for kind, number in zip(kinds, PLAN[scene.name], strict=True):
            kind(max(1, round(number * share)), chance)
        attack.clocks()
        if not scene.before:  # else what it begins with would be gone as well
            attack.vanishing(max(1, round(VANISH * share)), chance)
        if scene.module == "mmsb" and not any(word in scene.name for word in ("local", "batch")):  # one has the ledger
            attack.together()
        yield attack.tally


def main() -> int:
    """Attack, and print what came of it."""
    if compiler() is None:
        print("error: no C compiler\n  try: Install cc: the shim that breaks things is compiled when it is wanted.")
        return 1
    share, only = float((sys.argv[1:] or ["1"])[0]), " ".join(sys.argv[2:])
    started, wrong, kills = time.monotonic(), 0, 0
    with lab() as laboratory:
        for tally in attacks(laboratory, share, only):
            told = ", ".join(f"{number} {what}" for what, number in tally.counts.items())
            print(f"| {tally.scene} | {told} | {len(tally.wrong)} |", flush=True)
            for line in tally.wrong:
                print(f"  WRONG {line}", flush=True)
            wrong, kills = wrong + len(tally.wrong), kills + tally.counts.get("kills", 0)
    spent = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])  # an idle machine takes about as long as this
    print(f"{kills} kills in all, {wrong} wrong, {time.monotonic() - started:.0f} s, {spent:.0f} s of CPU")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
