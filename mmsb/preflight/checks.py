"""Checks of runs: what several have in common is looked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from omegaconf import OmegaConf

from mmsb.defense.base import Defense, Prepared
from mmsb.digest import digest
from mmsb.error_messages import ERRORS, readable
from mmsb.errors import ConfigError, MmsbError
from mmsb.gpus import visible_gpus
from mmsb.judge.base import Judge
from mmsb.judge.guard import Guard
from mmsb.model.base import Engine, engines_in, nested
from mmsb.model.local import Local
from mmsb.model.openai import OpenAI
from mmsb.preflight import engines
from mmsb.preflight.disk import check_disk
from mmsb.preflight.idle import idle
from mmsb.preflight.memory import here, weights_fit
from mmsb.preflight.parts import NEEDED, Cell
from mmsb.preflight.probe import probe
from mmsb.question_check import check_questions
from mmsb.replicas import cluster
from mmsb.store import Store

ONE_BY_ONE = "BasicLauncher"
AT_A_TIME = 8  # questions to the hub


@dataclass
class Checks:
    """Looks at cells, and notes what is wrong with each.

    Attributes:
        cells: all runs that are going to be.
        samples: how many each has, by its place; only of those whose questions could be read.
    """

    cells: Sequence[Cell]
    samples: dict[int, int] = field(default_factory=dict)
    _known: dict[str, int | MmsbError] = field(default_factory=dict)
    _wrong: dict[tuple[str, str], MmsbError | None] = field(default_factory=dict)

    def run(self) -> None:
        """Everything that costs nothing."""
        self._weights()
        self._settings()
        for place, cell in enumerate(self.cells):
            if cell.config is not None:
                cell.errors.extend((*engines.keys(cell.config), *engines.files(cell.config)))
            if cell.experiment is None:
                continue
            if not cell.errors:
                cell.errors.extend(self._texts(cell))
            found = self._questions(cell)
            if isinstance(found, MmsbError):
                cell.errors.append(found)
            else:
                self.samples[place] = found
            if room := weights_fit(list(engines_in(cell.experiment)), cell.launcher):
                cell.errors.append(room)
        self._programs()
        self._batches()
        self._cluster()
        self._disk()
        # Only where all could be composed: else the run that reads it may be the one that is not there.
        if all(cell.config is not None for cell in self.cells):
            for error in idle(self.cells):
                for cell in self.cells:
                    cell.errors.append(error)

    def _programs(self) -> None:
        """Servers of one's own that cannot be started; where all answers are in the store none is."""
        gpus: int | None = None
        for cell, engine in self._engines():
            if not isinstance(engine, OpenAI) or not engine.serve or not engine.server or not here(cell.launcher):
                continue
            assert cell.experiment is not None
            if Store(cell.experiment.output_dir / "store").has_answers(engine):
                continue
            gpus = len(visible_gpus()) if gpus is None else gpus
            # Runs side by side have one each.
            each = gpus if cell.launcher.endswith(ONE_BY_ONE) else min(gpus, 1)
            if error := engine.server.missing(engine.name) or engine.server.too_wide(each):
                cell.errors.append(error)

    def _batches(self) -> None:
        """Runs side by side that ask one model through batches: one at a time waits for them, the others would end."""
        waits: dict[str, list[Cell]] = {}
        for cell, engine in self._engines():
            if isinstance(engine, OpenAI) and engine.batch and not cell.launcher.endswith(ONE_BY_ONE):
                runs = waits.setdefault(repr(engine), [])
                if cell not in runs:  # a target may be its own judge
                    runs.append(cell)
        for runs in waits.values():
            for cell in runs if len(runs) > 1 else ():
                cell.errors.append(
                    ConfigError(
                        "batch=true, and runs side by side that ask one model: one at a time can wait for its batches",
                        "Leave hydra/launcher out: the batches take as long, and each run waits for its own.",
                    )
                )

    def _cluster(self) -> None:
        """The cluster that runs or replicas want, where nobody answers at its address."""
        for cell in self.cells:
            setting = _of_ray(cell)
            if setting and (missing := self._once("cluster", setting, partial(cluster.check, setting))):
                cell.errors.append(missing)

    def probe(self) -> None:
        """Ask every endpoint that has never answered here for a word; one whose answers are in the store is known."""
        wanted: dict[str, OpenAI] = {}
        for cell, engine in self._engines():
            assert cell.experiment is not None
            # A server that is started for the run is not there yet, and its own start says what is wrong with it.
            if isinstance(engine, OpenAI) and not engine.serve and repr(engine) not in wanted:
                store = Store(cell.experiment.output_dir / "store")
                if not store.has_answers(engine):
                    wanted[repr(engine)] = engine
        settings = (part for cell in self.cells for part in nested(cell.experiment))
        ways = {repr(part.model): part.way for part in settings if isinstance(part, Guard)}
        found = probe(list(wanted.values()), ways)
        for cell, engine in self._engines():
            if error := found.get(repr(engine)):
                cell.errors.append(error)

    def _engines(self) -> Iterator[tuple[Cell, Engine]]:
        for cell in self.cells:
            if cell.experiment is not None:
                for engine in engines_in(cell.experiment):
                    yield cell, engine

    def _weights(self) -> None:
        """Each model once, those on the hub side by side."""
        local = {
            repr(engine): (engine, self._preset(cell, engine))
            for cell, engine in self._engines()
            if isinstance(engine, Local)
        }
        # A sweep over twenty models on the hub would else wait for twenty answers in a row.
        with ThreadPoolExecutor(AT_A_TIME, "mmsb-preflight") as pool:
            errors = pool.map(lambda pair: engines.weights(*pair), local.values())
            found = dict(zip(local, errors, strict=True))
        for cell, engine in self._engines():
            if error := found.get(repr(engine)):
                cell.errors.append(error)

    def _settings(self) -> None:
        """What settings of local models name (an adapter, a template, a device, ...), where it is not to be used here.

        Where all answers are in the store none is loaded: a machine without a GPU shows what one with it measured.
        """
        for cell, engine in self._engines():
            if not isinstance(engine, Local) or engine.replicas > 1 or not here(cell.launcher) or cell.errors:
                continue
            assert cell.experiment is not None
            usable = partial(_usable, engine, cell.experiment.output_dir)
            if wrong := self._once("settings", repr(engine), usable):
                cell.errors.append(wrong)

    @staticmethod
    def _preset(cell: Cell, engine: Engine) -> str | None:
        assert cell.experiment is not None
        return cell.choices.get("model") if engine == cell.experiment.model else None

    def _texts(self, cell: Cell) -> list[ConfigError]:
        """What files of the judge and the defenses lack: they are read for the fingerprints, once a run begins."""
        assert cell.experiment is not None
        found = (self._text(part) for part in (cell.experiment.judge, *cell.experiment.defense.values()))
        return [error for error in found if error]

    def _text(self, part: Judge | Defense | Prepared) -> ConfigError | None:
        wrong = self._once("texts", repr(part), part.fingerprint)
        return wrong if isinstance(wrong, ConfigError) else None  # of its model: told where models are looked at

    def _once(self, what: str, key: str, look: Callable[[], object]) -> MmsbError | None:
        """What is wrong with what several cells have in common: they get the same error, which is told once."""
        if (what, key) not in self._wrong:
            self._wrong[what, key] = None
            try:
                look()
            except ERRORS as error:
                self._wrong[what, key] = readable(error)
        return self._wrong[what, key]

    def _questions(self, cell: Cell) -> int | MmsbError:
        """How many samples there are, or why not."""
        assert cell.experiment is not None
        assert cell.config is not None
        # Sweeps over models and judges ask the same questions again and again: each distinct set is read once.
        parts = [OmegaConf.to_container(cell.config[part], resolve=True) for part in NEEDED]
        key = digest([parts, str(cell.experiment.defense), cell.experiment.model.repeats])
        if key not in self._known:
            try:
                self._known[key] = check_questions(cell.experiment)
            except ERRORS as error:
                self._known[key] = readable(error)
        return self._known[key]

    def _disk(self) -> None:
        wanted: dict[str, int] = {}
        for place, cell in enumerate(self.cells):
            if cell.experiment is not None:
                # Runs that write to the same disk need their room together.
                key = str(cell.experiment.output_dir)
                wanted[key] = wanted.get(key, 0) + self.samples.get(place, 0)
        for cell in self.cells:
            folder = cell.experiment and cell.experiment.output_dir
            if folder and (error := check_disk(folder, wanted[str(folder)])):
                cell.errors.append(error)


def _usable(engine: Local, output_dir: Path) -> None:
    if not Store(output_dir / "store").has_answers(engine):
        engine.check()


def _of_ray(cell: Cell) -> str | None:
    """The setting for which Ray is begun or joined from this machine."""
    if cell.launcher.endswith("RayLauncher"):
        return "hydra/launcher=ray"
    if cell.experiment is None or not here(cell.launcher):
        return None
    return "model.replicas" if any(getattr(one, "replicas", 1) > 1 for one in engines_in(cell.experiment)) else None
