"""The commands that are attacked: where each begins, and what it is to leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from PIL import Image

from mmsb.dataset.mm_safetybench import FIELDS
from tests.forks import FIGURES, LOCAL, RECORDS
from tests.own_scenario import OWN as NIGHTLY
from tests.proof.cluster import NODE
from tests.proof.lab import Lab
from tests.proof.left import IN_FLIGHT
from tests.reviewing import write_run

SMALL = ("scenario=[fraud,sex]", "judge=refusal")
OWN = {**NIGHTLY, "questions": [f"How do I bake loaf {n} at night?" for n in range(12)]}


@dataclass(frozen=True)
class Scene:
    """A command to attack.

    Attributes:
        name: in the table.
        attacks: how many: kills at write boundaries, kills at random moments, power cuts, full disks.
        module: and its arguments, given the server's URL.
        before: makes the folder that every trial begins with; None: an empty one.
        together: whether eight are started at the same moment.
        refuses: what those are told that come while another is at it; empty: all do the work.
        rater: whether somebody labels what it shows.
        ray: what dies of Ray's processes; empty: it needs no cluster.
        imports: what takes long to import of what it needs besides.
    """

    name: str
    attacks: tuple[int, int, int, int]
    module: str
    arguments: Callable[[Lab], tuple[str, ...]]
    before: Callable[[Lab, Path], None] | None = None
    together: bool = True
    refuses: str = ""
    rater: bool = False
    ray: str = ""
    imports: tuple[str, ...] = ()


def model(laboratory: Lab) -> tuple[str, ...]:
    """The model that is asked."""
    return ("model=openai", "model.name=x", f"model.base_url={laboratory.server.url}", f"model.concurrency={IN_FLIGHT}")


def endpoint(laboratory: Lab) -> tuple[str, ...]:
    return (*model(laboratory), *SMALL)


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


def proposing(laboratory: Lab) -> tuple[str, ...]:
    return ("root=data", "scenario=[fraud,sex,hate_speech]", "steps=[propose]", "propose=30", *model(laboratory))


def phrasing(laboratory: Lab) -> tuple[str, ...]:
    return ("root=data", "own=own.yaml", "steps=[questions,phrases]", *model(laboratory))


def labelling(laboratory: Lab) -> tuple[str, ...]:
    return ("run=finished", "labels=data/labels.jsonl", "rater=ann", "pictures=none")


def reporting(laboratory: Lab) -> tuple[str, ...]:
    return ("runs=[finished,other]", "into=data/report", "figures=[svg]")


def on_ray(laboratory: Lab) -> tuple[str, ...]:
    return (*local(laboratory), "model.replicas=2", "model.batch_size=2")


def tasks(laboratory: Lab) -> tuple[str, ...]:
    return (*endpoint(laboratory), "image_mode=text_only,typo", "tracker=none", "hydra/launcher=ray", "-m")


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


def answers_to_label(laboratory: Lab, folder: Path) -> None:
    write_run(folder / "finished", {"fraud": ["safe", "unsafe", "safe"] * 2})


def two_finished_runs(laboratory: Lab, folder: Path) -> None:
    finished_run(laboratory, folder)
    done = laboratory.run(
        folder, "mmsb", *endpoint(laboratory), "tracker=none", "image_mode=typo", "hydra.run.dir=other"
    )
    assert done.codes == [0], done.output


ONE = "another mmsb.create works in data"
TYPED = "typing, stacking and describing a dataset"
SCENES = (
    Scene("a run", (240, 30, 30, 30), "mmsb", single),
    Scene("a run that is recorded", (45, 15, 15, 10), "mmsb", tracked, made_store, imports=RECORDS),
    Scene("the first run of all, which makes mlflow.db", (24, 6, 6, 4), "mmsb", tracked, imports=RECORDS),
    Scene("a sweep that is recorded", (24, 9, 6, 4), "mmsb", sweep, made_store, imports=(*RECORDS, *FIGURES)),
    Scene("judging again", (45, 9, 12, 8), "mmsb.judge", judging, finished_run),
    Scene("recording a finished run", (24, 6, 6, 4), "mmsb.log", recording, finished_and_store, imports=RECORDS),
    Scene("a report", (18, 6, 4, 4), "mmsb.report", reporting, two_finished_runs, imports=FIGURES),
    Scene("labelling by hand", (24, 6, 6, 6), "mmsb.review", labelling, answers_to_label, together=False, rater=True),
    Scene("proposing questions", (18, 6, 6, 4), "mmsb.create", proposing, refuses=ONE),
    Scene("bringing questions", (30, 6, 9, 8), "mmsb.create", creating, own_scenario, refuses=ONE),
    Scene("finding key phrases", (24, 6, 6, 4), "mmsb.create", phrasing, own_scenario, refuses=ONE),
    Scene(TYPED, (24, 6, 6, 4), "mmsb.create", typing, own_pictures, refuses=ONE),
    Scene("a run through a batch interface", (30, 6, 6, 4), "mmsb", batches, refuses="another"),
    Scene("a run of a local model", (18, 6, 4, 4), "mmsb", local, together=False, imports=LOCAL),
    Scene(
        "a run on two actors of Ray", (0, 3, 0, 0), "mmsb", on_ray, together=False, ray="ray::Replica", imports=LOCAL
    ),
    Scene("a sweep of tasks of Ray", (0, 3, 0, 0), "mmsb", tasks, together=False, ray="ray::_run", imports=FIGURES),
    Scene("a sweep on a node of Ray that dies", (0, 0, 0, 0), "mmsb", tasks, together=False, ray=NODE, imports=FIGURES),
)
