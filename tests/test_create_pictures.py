from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsb.create.folder import Folder, write_json
from mmsb.create.pictures import draw_pictures, plan, read_comment
from mmsb.errors import ConfigError, DataError, ModelError
from mmsb.generator.base import Batch, Drawn, Generator, Order, order
from mmsb.generator.diffusers import Checker, Diffusers, newest_commit
from mmsb.model.endpoints import Endpoints
from mmsb.scenario import Scenario
from mmsb.store import Store
from mmsb.types import Failure
from tests.small_diffusion import SIDE, save_small_sd15, save_small_sdxl

pytestmark = [  # of the libraries
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:diffusers\..*"),
    pytest.mark.filterwarnings(r"ignore::FutureWarning:diffusers\..*"),
]
OWN = Scenario(id="14-Bread", name="bread", title="Bread", group="harm", rule="harm", criterion="-")
PHRASES = ("bake bread", "toast a slice", "bake bread", "eat it")
FIELDS = ("Question", "Changed Question", "Phrase Type", "Rephrased Question", "Rephrased Question(SD)")


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_sdxl(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def sd15(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_sd15(tmp_path_factory.mktemp("sd15"))


def small(folder: Path, batch_size: int = 3, safety_checker: Checker = "none", **changes: Any) -> Diffusers:
    settings = {"width": SIDE, "height": SIDE, "steps": 1, "device": "cpu", **changes}
    return Diffusers(name_or_path=str(folder), batch_size=batch_size, safety_checker=safety_checker, **settings)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "data")
    records = {str(n): {**dict.fromkeys(FIELDS, "-"), "Key Phrase": text} for n, text in enumerate(PHRASES)}
    write_json(made.records_file(OWN.id), records)
    return made


def orders(generator: Diffusers) -> list[Order]:
    return [order(generator, OWN.id, str(n), phrase) for n, phrase in enumerate(PHRASES)]


def nowhere(folder: Path) -> Endpoints:
    """No endpoint is asked."""
    return Endpoints([], Store(folder).shelf, folder)


def draw(folder: Folder, generator: Generator) -> list[tuple[Order, Failure]]:
    return draw_pictures(folder, plan(folder, [OWN], generator), generator, nowhere(folder.root))


def drawn(generator: Diffusers) -> dict[str, np.ndarray[Any, Any]]:
    pictures = {}
    for item, image in generator.draw(generator.batches(orders(generator))):
        assert isinstance(image, Image.Image)
        pictures[item.name] = np.asarray(image).astype(int)
    return pictures


def test_a_picture_does_not_depend_on_its_batch(sdxl: Path) -> None:
    alone, together = drawn(small(sdxl, 1)), drawn(small(sdxl, 4))
    for name, picture in alone.items():
        assert np.abs(picture - together[name]).max() <= 1
    assert np.abs(alone["14-Bread/0"] - alone["14-Bread/2"]).max() > 1  # the same phrase with another id


def test_seed_scheduler_and_steps_change_the_pictures_and_the_fingerprint(sdxl: Path) -> None:
    base = small(sdxl)
    assert orders(base) == orders(small(sdxl)) != orders(small(sdxl, seed=1))
    for changed in (small(sdxl, steps=2), small(sdxl, scheduler="DDIMScheduler")):
        assert changed.fingerprint() != base.fingerprint()
        assert np.abs(drawn(changed)["14-Bread/0"] - drawn(base)["14-Bread/0"]).max() > 1
    with pytest.raises(ConfigError, match="NoSuchScheduler"):
        drawn(small(sdxl, scheduler="NoSuchScheduler"))


def test_the_safety_checker_never_blackens_pictures_in_silence(sd15: Path) -> None:
    with pytest.raises(ConfigError, match="safety checker"):
        drawn(small(sd15))
    assert len(drawn(small(sd15, safety_checker="drop"))) == len(PHRASES)
    keeping = small(sd15, safety_checker="keep")
    outcomes = [image for _, image in keeping.draw(keeping.batches(orders(keeping)))]
    assert all(isinstance(outcome, Failure) and outcome.cause == "safety_checker" for outcome in outcomes)


def test_what_is_no_pipeline_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="name_or_path"):
        drawn(small(tmp_path))


class Cramped(Diffusers):
    """A pipeline with memory for two pictures at a time."""

    def _run(self, pipeline: Any, batch: Batch) -> list[Drawn]:
        import torch

        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super()._run(pipeline, batch)


def test_a_batch_that_does_not_fit_is_halved(sdxl: Path) -> None:
    cramped = Cramped(name_or_path=str(sdxl), width=SIDE, height=SIDE, steps=1, device="cpu", batch_size=4)
    assert list(drawn(cramped)) == [item.name for item in orders(cramped)]


def test_pictures_are_written_once_with_what_they_were_made_from(folder: Folder, sdxl: Path) -> None:
    generator = small(sdxl)
    assert draw(folder, generator) == []
    path = folder.picture(OWN.id, "SD", "1")
    comment = read_comment(path)
    assert comment is not None
    assert comment["prompt"] == "A photo of toast a slice"
    assert comment["seed"] == orders(generator)[1].seed
    again = plan(folder, [OWN], generator)
    assert (again.batches, again.there, again.given) == ([], 4, 0)
    assert len(plan(folder, [OWN], small(sdxl, steps=2)).missing) == 4
    Image.new("RGB", (8, 8), "red").save(path)
    assert plan(folder, [OWN], generator).given == 1
    path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="readable"):
        plan(folder, [OWN], generator)


def test_a_truncated_picture_of_ours_is_redrawn_and_a_given_one_is_not(folder: Folder, sdxl: Path) -> None:
    generator = small(sdxl)
    draw(folder, generator)
    path = folder.picture(OWN.id, "SD", "1")
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    planned = plan(folder, [OWN], generator)
    assert [item.name for item in planned.missing] == ["14-Bread/1"]
    draw_pictures(folder, planned, generator, nowhere(folder.root))
    assert path.read_bytes() == whole
    Image.effect_noise((64, 64), 60).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="cut short and was not drawn here"):
        plan(folder, [OWN], generator)


def test_weights_of_the_hub_are_known_by_their_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = Diffusers(name_or_path="someone/painter", revision="0123abc")
    assert pinned.fingerprint()["weights"] == "someone/painter@0123abc"
    cache = tmp_path / "models--someone--painter" / "refs"
    cache.mkdir(parents=True)
    (cache / "main").write_text("fedcba9876")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    newest_commit.cache_clear()
    assert Diffusers(name_or_path="someone/painter").fingerprint()["weights"] == "someone/painter@fedcba9876"
    with pytest.raises(ModelError, match="newest commit of someone/else"):
        Diffusers(name_or_path="someone/else").fingerprint()


def test_a_resumed_run_draws_what_an_uninterrupted_one_draws(folder: Folder, sdxl: Path) -> None:
    generator = small(sdxl, batch_size=2)
    draw(folder, generator)
    paths = [folder.picture(OWN.id, "SD", str(n)) for n in range(4)]
    before = [path.read_bytes() for path in paths]
    for path in paths[1:3]:  # as after a kill within a batch
        path.unlink()
    planned = plan(folder, [OWN], generator)
    assert len(planned.missing) == 2
    draw_pictures(folder, planned, generator, nowhere(folder.root))
    assert [path.read_bytes() for path in paths] == before


class Flat:
    """A generator whose pictures are black."""

    prompt, seed = "{phrase}", 0

    def fingerprint(self) -> dict[str, object]:
        return {"engine": "flat"}

    def batches(self, orders: Sequence[Order]) -> list[Batch]:
        return [tuple(orders)]

    def draw(self, batches: Iterable[Batch]) -> Iterator[Drawn]:
        return ((item, Image.new("RGB", (8, 8))) for batch in batches for item in batch)


def test_a_picture_of_one_colour_is_not_put_in_place(folder: Folder) -> None:
    failed = draw(folder, Flat())
    assert [failure.cause for _, failure in failed] == ["blank"] * 4
    assert not folder.picture(OWN.id, "SD", "0").exists()
