"""Look at a question's three pictures together: are they there, readable, and of this question?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from mmsb.create.compare import (
    ALIKE,
    SAME,
    SAME_PICTURE,
    appearance,
    likeness,
    picture_distance,
    reduced,
    saved,
    typing_distance,
)
from mmsb.create.folder import KINDS, Folder
from mmsb.create.pictures import read_comment
from mmsb.dataset.base import ImageKind
from mmsb.digest import digest_bytes
from mmsb.errors import DataError
from mmsb.image_mode.typography import TypedText
from mmsb.picture import decode

TYPED: tuple[ImageKind, ...] = ("TYPO", "SD_TYPO")


@dataclass(frozen=True, slots=True)
class Case:
    """A question and where its pictures lie. `typed` is its key phrase in each font that it may be typed in."""

    root: Path
    scenario: str
    id: str
    phrase: str
    typed: tuple[TypedText, ...]

    @property
    def height(self) -> int:
        """Of the typed text in the first font, in pixels; 0 where there is none."""
        return self.typed[0].draw().height if self.typed else 0

    @property
    def name(self) -> str:
        """For a report: "06-Fraud/3"."""
        return f"{self.scenario}/{self.id}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen: digests by path, findings (error or remark, what, where), distances of typed text by font."""

    case: Case
    digests: dict[Path, str] = field(default_factory=dict)
    findings: list[tuple[str, str, str]] = field(default_factory=list)
    typed: dict[ImageKind, tuple[float, Path]] = field(default_factory=dict)
    likeness: bytes | None = None
    bound: bool = False

    def error(self, what: str, kind: str) -> None:
        """Note an error."""
        self.findings.append(("error", what, f"{self.case.scenario}/{kind}/{self.case.id}"))


def look(case: Case) -> Seen:
    """Read a question's pictures and hold them against its phrase and against one another."""
    seen, images = Seen(case), {}
    folder = Folder(case.root)
    for kind in KINDS:
        path = folder.picture(case.scenario, kind, case.id)
        if not path.is_file():
            continue
        data = path.read_bytes()
        seen.digests[path] = digest_bytes(data)
        try:
            images[kind] = decode(data, str(path))
        except DataError:
            # Found, not raised: one broken file of 5,040 must not hide what is wrong with the others.
            seen.error("unreadable pictures", kind)
    # Made small once for all that its looks are judged by: noise of single pixels says nothing there.
    small = reduced(images["SD"]) if "SD" in images else None
    drawn = _check_drawing(seen, folder, small)
    if "TYPO" in images:
        _check_typed(seen, "TYPO", images["TYPO"])
    # A stack ties its SD picture to the phrase even where nobody wrote down what the picture was drawn for.
    stacked = "SD_TYPO" in images and _check_stack(seen, images)
    likely = likeness(small) if small else None
    return Seen(case, seen.digests, seen.findings, seen.typed, likely, drawn or stacked)


def _check_drawing(seen: Seen, folder: Folder, image: Image.Image | None) -> bool:
    """The SD picture by itself; whether it says of itself that it is of this phrase."""
    if image is None:
        return False
    case = seen.case
    if problem := appearance(image):
        # A generator may draw mist; black or flat is what a failure leaves.
        level = "remark" if problem.startswith("blurred") else "error"
        seen.findings.append((level, problem, f"{case.scenario}/SD/{case.id}"))
    facts = read_comment(folder.picture(case.scenario, "SD", case.id))
    # A picture from elsewhere says nothing of itself; its stack may.
    if facts is None:
        return False
    # The comment keeps the wording with its place for the phrase: a set drawn with another one
    # can be held against its records as well.
    wording = str(facts.get("wording", "{phrase}"))
    if facts.get("prompt") != wording.replace("{phrase}", case.phrase):
        seen.error("pictures drawn for another phrase", "SD")
    return True


def _check_typed(seen: Seen, kind: ImageKind, shown: Image.Image) -> None:
    """How far the typed text is from this phrase, in the font that fits best."""
    best = (float("inf"), Path())
    saves = TYPED.index(kind) + 1  # a stack is made from the typed text's own file, and saved once more
    for typed in seen.case.typed:
        # Saved as often as what is shown: what JPEG does to letters of 20 pixels would else count as a changed one.
        distance = typing_distance(shown, saved(typed.draw(), saves), typed.size)
        best = min(best, (distance, typed.fonts[0]))
        # The fonts come in their order of likelihood: once one fits to the pixel, the others would only cost time.
        if best[0] <= SAME:
            break
    if seen.case.typed:
        seen.typed[kind] = best
    # Between the two the whole set decides (`validate._check_typing`): one picture cannot tell a font from a word.
    if best[0] > ALIKE and seen.case.typed:
        seen.error("typed text that is not this question's phrase", kind)


def _check_stack(seen: Seen, images: dict[ImageKind, Image.Image]) -> bool:
    """A stack is its SD picture above the phrase; whether it could be told."""
    stacked, top, bottom = images["SD_TYPO"], images.get("SD"), images.get("TYPO")
    if top and bottom and stacked.size != (max(top.width, bottom.width), top.height + bottom.height):
        seen.error("stacked pictures that do not fit their parts", "SD_TYPO")
        return True
    if top and picture_distance(stacked.crop((0, 0, *top.size)), top) > SAME_PICTURE:
        seen.error("stacked pictures with another picture above", "SD_TYPO")
    # Whatever part is at hand says where the text begins; without either, our own typing of the phrase does.
    height = bottom.height if bottom else stacked.height - top.height if top else seen.case.height
    width = bottom.width if bottom else stacked.width
    if 0 < height <= stacked.height:
        _check_typed(seen, "SD_TYPO", stacked.crop((0, stacked.height - height, width, stacked.height)))
    return top is not None and "SD_TYPO" in seen.typed
