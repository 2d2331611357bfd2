"""The benchmark as the hub's mirror holds it: `data/{config}/{split}.parquet`, one file for each scenario and kind.

    id: string, question: string, image: {bytes: binary, path: string} (null in Text_only)

Text_only asks the changed question, SD the question about the picture, TYPO and SD_TYPO the one about the typed text:
what every image mode needs is there. The original question, the key phrase and its type are not; they come from the
authors' question files where `dataset.question_files` names them. Source: PKU-Alignment/MM-SafetyBench on the Hugging
Face hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import pydantic

from mmsb.config import settings
from mmsb.dataset.base import ImageKind
from mmsb.dataset.mm_safetybench import ID, MMSafetyBench
from mmsb.dataset.parquet import CellPicture, opened, picture_bytes, places
from mmsb.dataset.question_file import by_number
from mmsb.errors import ConfigError, DataError, MissingPicture
from mmsb.hub import use_cache_where_unreachable
from mmsb.picture import Picture
from mmsb.scenario import Scenario, official_scenarios
from mmsb.types import PLAIN, Question

REPOSITORY = "PKU-Alignment/MM-SafetyBench"


@settings
class HubMirror:
    """Questions and pictures from the hub's parquet files, read only as far as they are asked.

    Attributes:
        name: the name for tables.
        root: a local copy, the folder that holds `data/{config}/{split}.parquet`; None for the hub.
        revision: the hub's branch, tag or commit. A branch is read once: all files of a run are of the commit that it
            names then, which `commit` gives, and which as `revision` gives the same files for ever.
        question_files: the folder that holds the authors' `processed_questions/`; None to go without.
        subset: "full", or "tiny" for the authors' list of 168 questions (needs `question_files`).
        limit: at most this many questions per scenario; None for all.
    """

    name: str = "mm_safetybench_hf"
    root: Path | None = None
    revision: str = "main"
    question_files: Path | None = None
    subset: Literal["full", "tiny"] = "full"
    limit: pydantic.PositiveInt | None = None

    @property
    def commit(self) -> str | None:
        """The commit whose files are read; None before the first, and for a local copy."""
        return _commits.get(self.revision) if self.root is None else None

    @property
    def font(self) -> Path | None:
        """The authors' font, where their question files are at hand and it lies beside them."""
        return MMSafetyBench(root=self.question_files).font if self.question_files else None

    def questions(self, scenario: Scenario) -> Iterator[Question]:
        """The scenario's questions, by ascending id."""
        if self.question_files:
            # the mirror has no key phrases: with the authors' files at hand pictures that it lacks can be drawn
            authors = MMSafetyBench(root=self.question_files, subset=self.subset, limit=self.limit)
            yield from authors.questions(scenario)
            return
        if self.subset == "tiny":
            raise ConfigError(
                "dataset.subset=tiny needs the authors' list of ids, which the mirror does not hold",
                "Set dataset.question_files to the authors' folder, or use dataset.limit=13.",
            )
        changed = self._texts(scenario, "Text_only")
        # all three splits are held against the ids of the first: a question without its twin would skew one mode
        about_picture, about_text = self._texts(scenario, "SD", changed), self._texts(scenario, "TYPO", changed)
        # The mirror's ids are texts in an order of their own; by number, `limit` takes the questions that the files'
        # readers take.
        for key in sorted(changed, key=by_number)[: self.limit]:
            texts = {
                # The original question is not in the mirror; the changed one says the same without a picture.
                PLAIN: changed[key],
                "changed": changed[key],
                "rephrased": about_text[key],
                "rephrased_sd": about_picture[key],
            }
            yield Question(key, scenario.id, texts)

    def picture(self, question: Question, kind: ImageKind) -> Picture | None:
        """The picture in the row of this id, None where the row has none.

        Raises:
            MissingPicture: there is none, and without a key phrase none can be drawn.
        """
        file = self._file(self._configs[question.scenario], kind)
        place = places(file).get(question.id)
        if place and picture_bytes(file, *place):
            # by place and not by bytes: a run of all modes would hold every picture of the benchmark
            return CellPicture(file, *place)
        if not question.key_phrase:
            raise MissingPicture(f"id {question.id} in {file}")
        return None

    @cached_property
    def _configs(self) -> dict[str, str]:
        """The mirror's name of each scenario."""
        return {scenario.id: scenario.hub for scenario in official_scenarios() if scenario.hub}

    def _texts(self, scenario: Scenario, split: str, wanted: Mapping[str, str] | None = None) -> dict[str, str]:
        """A file's questions by id; all `wanted` ids must be there."""
        if scenario.id not in self._configs:
            raise DataError(f"{self.name} has no scenario {scenario.id}", f"It has {', '.join(self._configs)}.")
        file = self._file(self._configs[scenario.id], split)
        columns = opened(file).read(["id", "question"]).to_pydict()
        texts = dict(zip(columns["id"], columns["question"], strict=True))
        # A dictionary keeps the last of two: a question would be gone, and nobody told.
        if len(texts) < len(columns["id"]):
            raise DataError(f"{file} has an id in two rows", "Get the file again.")
        # parquet knows nulls, also where a text is meant
        for key in (*texts, *(wanted or ())):
            if not (isinstance(key, str) and ID.fullmatch(key) and isinstance(texts.get(key), str)):
                raise DataError(f"{file} has no question for id {key!r}", "Get the file again.")
        return texts

    def _file(self, config: str, split: str) -> Path:
        name = f"data/{config}/{split}.parquet"
        if self.root is None:
            return _downloaded(name, self.revision)
        if not (self.root / name).is_file():
            raise DataError(f"dataset.root={self.root} has no {name}", _by_hand(self.root))
        return self.root / name


_commits: dict[str, str] = {}  # by revision, since its first file was read


@lru_cache
def _downloaded(name: str, revision: str) -> Path:
    from huggingface_hub import hf_hub_download

    # A branch may move while files are fetched: all are of the commit that the first one came from.
    pinned, found = _commits.get(revision, revision), use_cache_where_unreachable()
    try:
        path = Path(hf_hub_download(REPOSITORY, name, repo_type="dataset", revision=pinned))
    except OSError as error:  # no network, no such revision, no space
        reason = str(error).strip().splitlines()[0] if found else "it cannot be reached, and the cache lacks the file"
        raise DataError(f"{name} of {REPOSITORY} cannot be had from the hub: {reason}", _by_hand("FOLDER")) from error
    # the cache names its folders by commit; nothing else tells which one a branch stood for
    _commits.setdefault(revision, path.parts[path.parts.index("snapshots") + 1])
    return path


def _by_hand(root: object) -> str:
    return (
        f"Where there is a network: hf download {REPOSITORY} --repo-type dataset --local-dir FOLDER, copy FOLDER here, "
        f"and set dataset.root={root} (it holds data/Fraud/SD.parquet and so on)."
    )
