"""Test questions with known answers: what a defense costs where nothing is wrong with the request.

    utility   ours, drawn for this project: 40 mild questions, each told in words or shown in a picture
    mme       MME (arXiv 2306.13394): two yes-or-no questions about each picture, 14 kinds
    mmmu      MMMU (arXiv 2311.16502): questions of 30 college subjects with options
    mm_vet    MM-Vet (arXiv 2308.02490): 218 questions with free answers, which take a model to grade

The public sets are read as their authors publish them, and not shipped.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from mmsb.config import settings
from mmsb.dataset.base import ImageKind
from mmsb.dataset.mm_safetybench import read_json
from mmsb.dataset.parquet import CellPicture, opened
from mmsb.dataset.public import Item, PublicSet
from mmsb.errors import DataError
from mmsb.paths import PACKAGE
from mmsb.picture import Picture
from mmsb.types import Question, Solution

YES_NO = {"yes": "yes", "no": "no"}
ENDINGS = (".jpg", ".jpeg", ".png")
FROM_SOURCE = "Restore it from its source."


@settings
class Utility(PublicSet):
    """`questions.json`: [{"id", "category", "told", "asked", "options": [...], "right", "image"}], in this package.

    Without a picture a question is asked as it is `told`, with everything in words; with one as it is `asked`: what is
    needed then stands in the picture alone. So accuracy compares over image modes, as the benchmark's rates do.
    """

    root: Path = PACKAGE / "dataset/utility"
    FILE: ClassVar[str] = "questions.json"
    IMAGES: ClassVar[str | None] = "images"

    def read(self) -> Iterator[Item]:
        """The records, with their options below the question."""
        for record in read_json(self.folder / self.FILE):
            options = lettered(record["options"])
            # Not tied to the picture: asked in words alone it can be solved too, so the text's accuracy is a fair
            # reference.
            solution = Solution(record["right"], options, pictured=False)
            told, asked = (f"{record[text]}\n{listed(options)}" for text in ("told", "asked"))
            yield Item(record["id"], record["category"], asked, True, record["image"], solution, told)


@settings
class MME(PublicSet):
    """Folders by kind, `{name}.txt` beside each picture (or in `questions_answers_YN/`, pictures in `images/`).

    A line of a text: the question, a tab, Yes or No. The released files have two a picture.
    """

    IMAGES: ClassVar[str | None] = "."
    SPLIT: ClassVar[tuple[str, str]] = ("images", "questions_answers_YN")

    @cached_property
    def folder(self) -> Path:
        """The folder that holds the kinds: `MME_Benchmark` of the release, or one with the same contents."""
        for folder in (self.root / "MME_Benchmark", self.root):
            if any(folder.glob("*/*.txt")) or any(folder.glob(f"*/{self.SPLIT[1]}/*.txt")):
                return folder
        raise DataError(
            f"dataset.root={self.root} holds no texts such as color/000000000001.txt",
            "Set dataset.root to MME_Benchmark_release_version.",
        )

    def read(self) -> Iterator[Item]:
        """Two questions a picture, which are one observation."""
        for kind in sorted(path for path in self.folder.iterdir() if path.is_dir()):
            images, texts = (kind / name if (kind / name).is_dir() else kind for name in self.SPLIT)
            for text in sorted(texts.glob("*.txt")):
                yield from self._pair(kind.name, text, images)

    def _pair(self, kind: str, text: Path, images: Path) -> Iterator[Item]:
        # From the right: a question may hold a tab of its own.
        lines = [line.rsplit("\t", 1) for line in text.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        answers = [line[-1].strip().lower() for line in lines]
        if len(lines) != 2 or any(len(line) != 2 for line in lines) or not set(answers) <= set(YES_NO):
            raise DataError(f"{text} is not two questions, each with a tab and Yes or No", FROM_SOURCE)
        # endings differ by kind; a name without a file is told of as a missing picture later
        image = next((path for end in ENDINGS if (path := images / f"{text.stem}{end}").is_file()), images / text.stem)
        # pictures are named by no rule, and ids become file names
        name = re.sub(r"[^A-Za-z0-9_-]", "_", text.stem)[:60]
        for number, ((question, _), answer) in enumerate(zip(lines, answers, strict=True)):
            # who misreads a picture mostly fails both of its questions: they are not independent
            solution = Solution(answer, YES_NO, together=name)
            place = str(image.relative_to(self.folder))
            yield Item(f"{name}-{number}", kind, question.strip(), True, place, solution)


@settings
class MMVet(PublicSet):
    """`mm-vet.json`: {"v1_0": {"imagename", "question", "answer", "capability", ...}}, pictures in `images/`.

    All questions are one category, so that their average is the published total.
    """

    FILE: ClassVar[str] = "mm-vet.json"
    IMAGES: ClassVar[str | None] = "images"

    def read(self) -> Iterator[Item]:
        """One question a record; its answer joins with <AND> what must be there, with <OR> what is enough."""
        # one category, since a macro average over capabilities would be no published number
        for key, record in read_json(self.folder / self.FILE).items():
            yield Item(key, "all", record["question"], True, record["imagename"], Solution(str(record["answer"])))


@settings
class MMMU(PublicSet):
    """`{subject}/{split}-*.parquet` as on the hub: id, question, options, image_1 to image_7, answer, question_type.

    Asked are the questions with options and one picture; those without options, and those about several pictures, are
    left out, and it is said how many. The order in which they are put follows the authors' llava1.5.yaml.

    Attributes:
        split: whose answers are published: "validation" or "dev".
    """

    split: Literal["validation", "dev"] = "validation"
    COLUMNS: ClassVar[tuple[str, ...]] = ("id", "question", "options", "answer", "question_type")
    PICTURE: ClassVar[str] = "image_1"

    @cached_property
    def files(self) -> Mapping[str, Sequence[Path]]:
        """The files of each subject."""
        found = {path.parent.name: sorted(path.parent.glob(path.name)) for path in self._any()}
        if not found:
            raise DataError(
                f"dataset.root={self.root} holds no {self.split} files",
                "hf download MMMU/MMMU --repo-type dataset --local-dir FOLDER, then dataset.root=FOLDER.",
            )
        return found

    def _any(self) -> Iterator[Path]:
        for folder in sorted(path for path in self.root.iterdir() if path.is_dir()):
            if any(folder.glob(f"{self.split}-*.parquet")):
                yield folder / f"{self.split}-*.parquet"

    @cached_property
    def folder(self) -> Path:
        """The folder of subjects."""
        return self.root

    @cached_property
    def cells(self) -> dict[str, CellPicture]:
        """The picture of each question that is asked."""
        return {item.id: cell for item, cell in self._asked}

    def read(self) -> Iterator[Item]:
        """The questions of all subjects."""
        return (item for item, _ in self._asked)

    @cached_property
    def _asked(self) -> list[tuple[Item, CellPicture]]:
        rows = [
            (_item(row, subject), cell)
            for subject, files in self.files.items()
            for file in files
            for row, cell in _rows(file, self.COLUMNS, self.PICTURE)
        ]
        asked = [(item, cell) for item, cell in rows if item is not None]
        # said, not silent: an accuracy over a part is not the published one
        if len(asked) < len(rows):
            left = f"{len(rows) - len(asked)} of {len(rows)} questions of {self.name} are left out"
            print(f"{left}: without options, or about several pictures", file=sys.stderr)
        return asked

    def picture(self, question: Question, kind: ImageKind) -> Picture | None:
        """The question's first picture."""
        return self.cells[question.id]


def lettered(options: Sequence[str]) -> dict[str, str]:
    """The options by letter, from A."""
    return {chr(ord("A") + number): option for number, option in enumerate(options)}


def listed(options: Mapping[str, str]) -> str:
    """The options as lines, and how to answer."""
    lines = [f"({letter}) {option}" for letter, option in options.items()]
    return "\n".join([*lines, "Answer with the letter of the right option."])


def _rows(file: Path, columns: Sequence[str], picture: str) -> Iterator[tuple[dict[str, Any], CellPicture]]:
    whole = opened(file, (*columns, picture))
    # by row group and without the column of pictures, which would not fit into memory at once
    for group in range(whole.num_row_groups):
        for number, row in enumerate(whole.read_row_group(group, [*columns]).to_pylist()):
            yield row, CellPicture(file, group, number, picture)


def _item(row: Mapping[str, Any], subject: str) -> Item | None:
    """A row as a question; None for one that is not asked."""
    options = lettered(ast.literal_eval(row["options"]))  # a list as Python writes it; nothing is run
    whole = " ".join([row["question"], *options.values()])
    # A prompt here holds one picture; asked about several with one of them, a question would measure guessing.
    if row["question_type"] != "multiple-choice" or set(re.findall(r"<image (\d)>", whole)) - {"1"}:
        return None
    if row["answer"] not in options:
        raise DataError(f"MMMU {row['id']} has the answer {row['answer']!r}, none of its options", FROM_SOURCE)
    question = re.sub(r"\s*<image 1>\s*", " ", row["question"]).strip()
    # The picture goes before the text, where the engines put it: its mark in the question would be read as words.
    return Item(row["id"], subject, f"{question}\n\n{listed(options)}", True, None, Solution(row["answer"], options))
