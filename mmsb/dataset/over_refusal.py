"""Public sets with requests that only look harmful: who refuses those refuses too much.

    xstest       XSTest (arXiv 2308.01263), text only: 250 safe prompts, 200 unsafe contrasts
    mossbench    MOSSBench (arXiv 2406.17806): 300 harmless queries with pictures
    siuo         SIUO (arXiv 2406.15279): 167 harmful queries whose text and picture are each harmless
    lvlm_safer   LVLM-SafeR ("Don't Always Say No to Me", OpenReview OLEQJoAED6): a safe and an unsafe twin each
    holisafe     HoliSafe-Bench (arXiv 2506.04704): 4,163 queries over all safe and unsafe combinations

They are read as their authors publish them and not shipped. None has the benchmark's 13 scenarios: each brings
its own categories in their place, judged as harm. The formats of MOSSBench, SIUO and LVLM-SafeR were checked against
the authors' files, those of XSTest and HoliSafe only against public code that reads them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from mmsb.config import settings
from mmsb.dataset.mm_safetybench import read_json
from mmsb.dataset.public import Item, PublicSet
from mmsb.errors import DataError


@settings
class XSTest(PublicSet):
    """`xstest_prompts.csv`: columns id, prompt, type, label (safe or unsafe), focus, note."""

    FILE: ClassVar[str] = "xstest_prompts.csv"

    def read(self) -> Iterator[Item]:
        """One prompt a row; its type is the category."""
        # `newline=""`: a quoted prompt may hold line breaks, which the csv reader wants as they are.
        with (self.folder / self.FILE).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield Item(row["id"], row["type"], row["prompt"], _one_of(row, "label", safe=True, unsafe=False))


@settings
class MOSSBench(PublicSet):
    """`images_information/information.json`: {"1": {"image", "question", "metadata": {"over"}, "pid"}}, by id."""

    FILE: ClassVar[str] = "images_information/information.json"
    IMAGES: ClassVar[str | None] = "."
    TYPES: ClassVar[Mapping[str, str]] = {
        "type 1": "exaggerated risk",
        "type 2": "negated harm",
        "type 3": "counterintuitive interpretation",
    }

    def read(self) -> Iterator[Item]:
        """One query a record, all harmless; the kind of stimulus is the category."""
        for record in read_json(self.folder / self.FILE).values():
            # an unknown type is a KeyError, which the base class tells as a broken file
            category = self.TYPES[record["metadata"]["over"]]
            yield Item(str(record["pid"]), category, record["question"], True, record["image"])


@settings
class SIUO(PublicSet):
    """`siuo_gen.json`: [{"question_id", "image", "question", "category", ...}], pictures in `images/`."""

    FILE: ClassVar[str] = "siuo_gen.json"
    IMAGES: ClassVar[str | None] = "images"

    def read(self) -> Iterator[Item]:
        """One query a record, all harmful once text and picture are taken together."""
        for record in read_json(self.folder / self.FILE):
            # Not benign: neither half is harmful alone, but the whole is, and to decline is right.
            yield Item(str(record["question_id"]), record["category"], record["question"], False, record["image"])


@settings
class LVLMSafeR(PublicSet):
    """Four files of twins that share a prompt ("prompt", "safe_pair": {"img_id"}) or a picture ("img": {"id"})."""

    FILE: ClassVar[str] = "1-same_prompt_multiple_meaning.json"
    FILES: ClassVar[tuple[str, ...]] = (
        "1-same_prompt_multiple_meaning",
        "2-same_prompt_different_attibutes",
        "3-same_image_different_region",
        "4-same_image_same_region",
    )
    IMAGES: ClassVar[str | None] = "imgs"

    def read(self) -> Iterator[Item]:
        """Two queries a record; what the twins share is the category."""
        for file in self.FILES:
            number, _, category = file.partition("-")
            for row, record in enumerate(read_json(self.folder / f"{file}.json")):
                for twin, benign in (("safe", True), ("unsafe", False)):
                    pair = record[f"{twin}_pair"]
                    text = pair["question"] if "img" in record else record["prompt"]
                    image = record["img"]["id"] if "img" in record else pair["img_id"]
                    # Ids of our own, since the files give their records none; twins share a stem.
                    yield Item(f"{number}-{row}-{twin}", category.replace("_", " "), text, benign, image)


@settings
class HoliSafe(PublicSet):
    """`holisafe_bench.json`: [{"id", "image", "query", "category", "type"}]; `type` ends in S (safe) or U (unsafe)."""

    FILE: ClassVar[str] = "holisafe_bench.json"
    IMAGES: ClassVar[str | None] = "images"

    def read(self) -> Iterator[Item]:
        """One query a record; the last letter of its type says whether the whole request is safe."""
        for record in read_json(self.folder / self.FILE):
            image = record["image"].removeprefix("images/")
            benign = _one_of({"type": record["type"][-1]}, "type", S=True, U=False)
            yield Item(str(record["id"]), record["category"], record["query"], benign, image)


def _one_of(row: Mapping[str, Any], field: str, **meanings: bool) -> bool:
    if row[field] not in meanings:
        raise DataError(f"{field}={row[field]!r} is none of {', '.join(meanings)}", "Restore the file from its source.")
    return meanings[row[field]]
