"""Step `typed`: write typed text (TYPO) and stacked images (SD_TYPO) to disk, on all cores.

The bytes are those of the authors' procedure: text drawn and saved as JPEG with Pillow's defaults, the two JPEG
files read back, stacked, and saved as JPEG again. A journal per scenario says what each file was made from,
so that only what is missing or outdated is made; files that were there before the journal were given and stay.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from io import FileIO
from pathlib import Path

from PIL import Image

from mmsb.create.folder import Folder, write_bytes
from mmsb.digest import digest, digest_bytes, digest_file
from mmsb.image_mode import Font
from mmsb.image_mode.typography import TypedText
from mmsb.picture import decode, jpeg, opened
from mmsb.processes import on_all_cores
from mmsb.progress import track
from mmsb.scenario import Scenario

GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Page:
    """One question's pair of files to make, and what the journal says of the files that are there."""

    root: Path
    scenario: str
    id: str
    typed: TypedText
    typed_entry: str | None
    stacked_entry: str | None


Entry = tuple[str, str]  # kind and id ("TYPO/3"); digests of what the file was made from and of the file


def pages(folder: Folder, scenarios: Iterable[Scenario], font: Font) -> list[Page]:
    """Every question's page, with what is known of its files."""
    found = []
    for scenario in scenarios:
        questions, own = folder.questions(scenario), folder.font
        known = Journal(folder, scenario.id).read()
        for question in questions:
            typed = font.type(question.key_phrase, own)
            keys = known.get(f"TYPO/{question.id}"), known.get(f"SD_TYPO/{question.id}")
            found.append(Page(folder.root, scenario.id, question.id, typed, *keys))
    return found


def write_typed(
    folder: Folder, scenarios: list[Scenario], font: Font, workers: int | None
) -> tuple[int, list[str], list[str]]:
    """Make what is missing or outdated.

    Returns:
        How many files were written, the questions whose SD picture is missing, and those with a word that is wider
        than the picture.
    """
    for scenario in scenarios:
        # Before any page is made: what lies there now was given, and only now can that be told from what is ours.
        Journal(folder, scenario.id).begin()
    work, written, lacking = pages(folder, scenarios, font), 0, []
    # The journals are open in this process alone: workers make files, one writer says so.
    with ExitStack() as stack:
        journals = {scenario.id: stack.enter_context(Journal(folder, scenario.id)) for scenario in scenarios}
        for page, entries, has_picture in track(on_all_cores(make, work, workers), "typed text", len(work)):
            # After the files are in place: a file without its entry is made again, an entry without its file lies.
            journals[page.scenario].add(entries)
            written += len(entries)
            if not has_picture:
                lacking.append(f"{page.scenario}/{page.id}")
    return written, lacking, [f"{page.scenario}/{page.id}" for page in work if page.typed.is_cut]


def make(page: Page) -> tuple[Page, list[Entry], bool]:
    """Make one question's files where they are missing or outdated.

    Returns:
        The page, an entry for each file written, and whether there is an SD picture to stack upon.
    """
    folder, entries = Folder(page.root), []
    typo, stacked = folder.picture(page.scenario, "TYPO", page.id), folder.picture(page.scenario, "SD_TYPO", page.id)
    if not _holds(typo, page.typed_entry, page.typed.identity):
        text = page.typed.encoded()[0]
        write_bytes(typo, text)
        entries.append((f"TYPO/{page.id}", _entry(page.typed.identity, text)))
    else:
        text = typo.read_bytes()
    drawing = folder.picture(page.scenario, "SD", page.id)
    if not drawing.is_file():
        return page, entries, False
    top = drawing.read_bytes()
    # By the bytes of both parts: a picture that was drawn again makes its stack outdated.
    key = digest([digest_bytes(top), digest_bytes(text)])
    if not _holds(stacked, page.stacked_entry, key):
        both = stack_files(top, text, f"{page.scenario}/{page.id}", grey=page.typed_entry != GIVEN)
        write_bytes(stacked, both)
        entries.append((f"SD_TYPO/{page.id}", _entry(key, both)))
    return page, entries, True


def _entry(key: str, data: bytes) -> str:
    return f"{key} {digest_bytes(data)}"


def _holds(path: Path, entry: str | None, key: str) -> bool:
    """Whether the file is there as its entry says, made from what it would be made from now."""
    # A file without an entry is ours, parted from it by a kill: what was given got one before anything was made.
    if entry is None or not path.is_file():
        return False
    # By the file's own digest too: one that was edited or damaged since is made again.
    return entry == GIVEN or entry == f"{key} {digest_file(path)}"


def stack_files(top: bytes, bottom: bytes, name: str, grey: bool = False) -> bytes:
    """The stack of two JPEG files, as the JPEG that `mmsb.picture.Stacked` gives, byte for byte.

    The upper one is decoded right into a canvas that is kept for its size: fresh memory and copies cost as much as
    the decoding. `grey` says that the lower one is black on white, drawn here: then its brightness alone is decoded,
    which all three colours equal.
    """
    below = _brightness(bottom) if grey else decode(bottom, name)
    with opened(top, name) as above:
        height = above.height
        canvas = _canvas(max(above.width, below.width), height + below.height)
        # It holds the last stack: what neither part covers is black again.
        if above.width < canvas.width or below.width < canvas.width:
            canvas.paste((0, 0, 0), (0, 0, *canvas.size))
        if above.format == "JPEG" and above.mode == "RGB":
            # Pillow decodes into the memory that an image has: it is given the canvas's.
            above._size, above.im = canvas.size, canvas.im
            above.load()
        else:
            canvas.paste(above.convert("RGB"), (0, 0))
    canvas.paste(below, (0, height))
    return jpeg(canvas)


def _brightness(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        # The decoder then leaves the planes of colour undecoded, which black on white does not need.
        image.draft("L", image.size)
        image.load()
        return image


@cache
def _canvas(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height))


class Journal:
    """What each typed and stacked file of a scenario was made from: one JSON line a file, the last one counts."""

    def __init__(self, folder: Folder, scenario: str) -> None:
        """Nothing is read or written yet."""
        self._folder = folder
        self._scenario = scenario
        self._path = folder.root / ".create" / f"typed-{scenario}.jsonl"
        self._file: FileIO | None = None

    def begin(self) -> None:
        """Start the journal, if there is none, with the files that are there: they were given."""
        if self._path.is_file():
            return
        given = [
            (f"{kind}/{path.stem}", GIVEN)
            for kind in ("TYPO", "SD_TYPO")
            for path in sorted((self._folder.root / "imgs" / self._scenario / kind).glob("[!.]*.jpg"))
        ]
        # Whole or not at all: half a list of given files would have the others overwritten.
        draft = self._path.with_suffix(".tmp")
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text("".join(map(_line, given)))
        draft.replace(self._path)

    def read(self) -> dict[str, str]:
        """The latest entry of each file; a line torn by a kill is none."""
        known = {}
        for line in self._path.read_text().splitlines() if self._path.is_file() else ():
            try:
                name, key = json.loads(line)
            except ValueError:
                continue
            known[name] = key
        return known

    def add(self, entries: list[Entry]) -> None:
        """Append entries; what has come here survives a kill."""
        assert self._file is not None  # opened by `with`
        self._file.write("".join(map(_line, entries)).encode())

    def __enter__(self) -> Journal:
        # Unbuffered: each entry has reached the system when `add` returns, so a kill loses none.
        self._file = self._path.open("ab", buffering=0)
        return self

    def __exit__(self, *error: object) -> None:
        assert self._file is not None
        self._file.close()


def _line(entry: Entry) -> str:
    return "\n" + json.dumps(entry) + "\n"  # the newline before it ends a line that a kill has torn
