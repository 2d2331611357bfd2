"""The commands that are attacked: where each begins, and what it is to leave."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from PIL import Image

from mmsb.dataset.mm_safetybench import FIELDS
from tests.proof.lab import Lab, ledger, rows

SMALL = ("scenario=[fraud,sex]", "judge=refusal")
MADE = re.compile(rb"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?")  # in a set's card
IN_FLIGHT = 4  # requests at a time
OWN = {
    "name": "house_rules",
    "id": "14-House_Rules",
    "title": "House Rules",
    "group": "harm",
    "rule": "harm",
    "policy": "Requests for help with breaking the house rules.",
    "criterion": "The answer helps with breaking the house rules.",
    "questions": [f"How do I bake loaf {n} at night?" for n in range(6)],
}


@dataclass(frozen=True)
class Scene:
    """A command to attack.

    Attributes:
        name: in the table.
        module: and its arguments, given the server's URL.
        before: makes the folder that every trial begins with; None: an empty one.
        once: rows of one content must lie there once at the end, and no other.
    """

    name: str
    module: str
    arguments: Callable[[Lab], tuple[str, ...]]
    before: Callable[[Lab, Path], None] | None = None


def endpoint(laboratory: Lab) -> tuple[str, ...]:
    """The model that is asked."""
    url = laboratory.server.url
    return ("model=openai", "model.name=x", f"model.base_url={url}", f"model.concurrency={IN_FLIGHT}", *SMALL)


def single(laboratory: Lab) -> tuple[str, ...]:
    return (*endpoint(laboratory), "image_mode=text_only", "tracker=none")


def tracked(laboratory: Lab) -> tuple[str, ...]:
    return (*endpoint(laboratory), "image_mode=text_only")


def sweep(laboratory: Lab) -> tuple[str, ...]:
    return (*endpoint(laboratory), "image_mode=text_only,sd_typo", "-m")


def local(laboratory: Lab) -> tuple[str, ...]:
    return ("model=tiny", "scenario=fraud", "image_mode=text_only", "judge=refusal", "tracker=none", "model.device=cpu")


def judging(laboratory: Lab) -> tuple[str, ...]:
    url = laboratory.server.url
    judge = ("judge=rubric", "judge.model.name=judge", f"judge.model.base_url={url}", "judge.model.concurrency=4")
    return ("run=finished", "tracker=none", *judge)


def creating(laboratory: Lab) -> tuple[str, ...]:
    return ("root=data", "own=own.yaml", "font.size=22", "font.width=256", "workers=1", "steps=[questions]")


def typing(laboratory: Lab) -> tuple[str, ...]:
    return ("root=data", "own=own.yaml", "font.size=22", "font.width=256", "workers=1", "steps=[typed,card]")


def batches(laboratory: Lab) -> tuple[str, ...]:
    return (*single(laboratory), "model.batch=true")


def recording(laboratory: Lab) -> tuple[str, ...]:
    return ("run=finished",)


def made_store(laboratory: Lab, folder: Path) -> None:
    """A store of MLflow that holds another run."""
    done = laboratory.run(folder, "mmsb", *endpoint(laboratory), "image_mode=typo", "scenario=fraud")
    assert done.codes == [0], done.output


def finished_run(laboratory: Lab, folder: Path) -> None:
    """A finished run, not recorded."""
    done = laboratory.run(folder, "mmsb", *single(laboratory), "hydra.run.dir=finished")
    assert done.codes == [0], done.output


def finished_and_store(laboratory: Lab, folder: Path) -> None:
    made_store(laboratory, folder)
    finished_run(laboratory, folder)


def own_scenario(laboratory: Lab, folder: Path) -> None:
    (folder / "own.yaml").write_text(yaml.safe_dump(OWN))


def own_pictures(laboratory: Lab, folder: Path) -> None:
    """Records with drawn pictures, before anything is typed or stacked."""
    own_scenario(laboratory, folder)
    place = folder / "data/imgs/14-House_Rules/SD"
    place.mkdir(parents=True)
    texts = dict.fromkeys(FIELDS, "bake bread")
    records = {str(n): {**texts, "Key Phrase": f"bake loaf {n}"} for n in range(6)}
    (folder / "data/processed_questions").mkdir()
    (folder / "data/processed_questions/14-House_Rules.json").write_text(json.dumps(records))
    for n in range(6):
        Image.effect_noise((48, 48), 20 + n).convert("RGB").save(place / f"{n}.jpg")


SCENES = (
    Scene("a run", "mmsb", single),
    Scene("a run that is recorded", "mmsb", tracked, made_store),
    Scene("the first run of all, which makes mlflow.db", "mmsb", tracked),
    Scene("a sweep that is recorded", "mmsb", sweep, made_store),
    Scene("judging again", "mmsb.judge", judging, finished_run),
    Scene("recording a finished run", "mmsb.log", recording, finished_and_store),
    Scene("making a dataset", "mmsb.create", creating, own_scenario),
    Scene("typing, stacking and describing a dataset", "mmsb.create", typing, own_pictures),
    Scene("a run through a batch interface", "mmsb", batches),
    Scene("a run of a local model", "mmsb", local),
)


@dataclass(frozen=True)
class Left:
    """What a command left: its results, what MLflow holds, the files of a dataset; and what was asked for it."""

    results: Mapping[str, int]
    recorded: Mapping[str, int]
    files: Mapping[str, bytes]
    asked: int

    @classmethod
    def of(cls, folder: Path, asked: int) -> Left:
        """What lies in a folder."""
        data = folder / "data"
        # no one reads drafts, and the journal of what was typed is in the order of the work
        found = [
            path for path in data.rglob("*") if path.is_file() and path.suffix != ".tmp" and ".create" not in path.parts
        ]
        files = {str(path.relative_to(data)): MADE.sub(b"when it was made", path.read_bytes()) for path in found}
        return cls(rows(folder), ledger(folder), files, asked)

    def differs(self, other: Left, kills: int) -> list[str]:
        """What of this, which was attacked, is not as in `other`, which was not."""
        found = []
        if set(self.results) != set(other.results):
            found.append(f"results {sorted(self.results)}, not {sorted(other.results)}")
        if self.recorded != other.recorded:
            found.append(f"MLflow holds {self.recorded}, not {other.recorded}")
        if self.files != other.files:
            names = sorted(
                name for name in {*self.files, *other.files} if self.files.get(name) != other.files.get(name)
            )
            found.append(f"files of the dataset differ: {names}")
        if self.asked > other.asked + kills * IN_FLIGHT:
            found.append(f"asked {self.asked} times, {other.asked} without attack, {kills} kills")
        return found
