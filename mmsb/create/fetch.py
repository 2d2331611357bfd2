"""Step `fetch`: the authors' own data, from their zip of images on disk or from a dataset such as the hub's mirror.

The zip is hostile until proven otherwise: only names that end in `{scenario}/{SD,TYPO,SD_TYPO}/{id}.jpg` are taken,
each is written under a name built here, links and absolute or climbing paths stop the step, and counts and sizes have
limits. Each picture is decoded before it is put in place.
"""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mmsb.create.folder import KINDS, Folder, write_bytes, write_json
from mmsb.dataset.base import Dataset, ImageKind
from mmsb.dataset.mm_safetybench import record_of
from mmsb.errors import DataError, MissingPicture, MmsbError
from mmsb.picture import Picture, decode
from mmsb.progress import track
from mmsb.scenario import Scenario
from mmsb.types import Question

# No prefix is asked for: the authors' zip and copies of it have another folder at the top.
ENTRY = re.compile(r"(?:^|/)([0-9]{2}-[A-Za-z_]{1,60})/(SD|TYPO|SD_TYPO)/([A-Za-z0-9_-]{1,64})\.jpg$")
# The authors' zip has 5,040 pictures. 195 KB of a hostile one unpack to 200 MB, and nothing but limits tells.
MAX_ENTRIES = 20_000
MAX_PICTURE_BYTES = 16 * 2**20
MAX_TOTAL_BYTES = 8 * 2**30
BY_HAND = "Place the files by hand: processed_questions/{scenario}.json and imgs/{scenario}/{SD,TYPO,SD_TYPO}/{id}.jpg."


def unpack(folder: Folder, archive: Path, scenarios: set[str]) -> Counter[str]:
    """Take the pictures of these scenarios out of a zip.

    Returns:
        How many were taken, by scenario.

    Raises:
        DataError: not a zip, a member that leaves the folder, a link, or more than the limits allow.
    """
    taken: Counter[str] = Counter()
    with ExitStack() as stack:
        with _sound(archive):
            file = stack.enter_context(zipfile.ZipFile(archive))
            # As a list: the whole archive is found sound before the first picture is written.
            wanted = list(_wanted(file.infolist(), archive, scenarios))
        for member, scenario, kind, key in track(wanted, "pictures unpacked", len(wanted)):
            target = folder.picture(scenario, kind, key)
            # By content, so that a step that was killed goes on, and a picture cut short is written anew.
            if not (target.is_file() and zlib.crc32(target.read_bytes()) == member.CRC):
                with _sound(archive):
                    data = file.read(member)
                put(target, data, f"{archive}: {member.filename}")
            taken[scenario] += 1
    return taken


@contextmanager
def _sound(archive: Path) -> Iterator[None]:
    try:
        yield
    except MmsbError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"there is no archive={archive}", "Give the path of the authors' zip of images.") from error
    except Exception as error:  # of a broken one zipfile raises its own errors, the system's, and those of decoders
        raise DataError(f"archive={archive} cannot be unpacked: {error}", "Download it again.") from error


def _wanted(
    members: list[zipfile.ZipInfo], archive: Path, scenarios: set[str]
) -> Iterable[tuple[zipfile.ZipInfo, str, ImageKind, str]]:
    """The members that are pictures of these scenarios; the whole archive is checked first."""
    _check(members, archive)
    seen = set()
    for member in members:
        match = ENTRY.search(member.filename)
        if match and match[1] in scenarios:
            if match.groups() in seen:  # whatever folders it lies in
                raise DataError(f"{archive} holds {match[0]} twice", "Get the zip from its source again.")
            seen.add(match.groups())
            yield member, match[1], match[2], match[3]  # type: ignore[misc]


def _check(members: list[zipfile.ZipInfo], archive: Path) -> None:
    # By what the directory claims: zipfile reads no more of a member than that, and its CRC fails a false claim.
    total = sum(member.file_size for member in members)
    if len(members) > MAX_ENTRIES or total > MAX_TOTAL_BYTES:
        raise DataError(
            f"{archive} would unpack to {len(members):,} files of {total:,} bytes; allowed are {MAX_ENTRIES:,} files "
            f"of {MAX_TOTAL_BYTES:,} bytes",
            "This is not the authors' zip of images.",
        )
    for member in members:
        # Nothing would be written there in any case; an archive that tries is not to be trusted with the rest either.
        path = member.filename.replace("\\", "/")
        if path.startswith("/") or ".." in path.split("/") or re.match(r"[A-Za-z]:", path):
            raise DataError(f"{archive} holds {path!r}, which leaves the folder", "Do not trust this archive.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DataError(f"{archive} holds the link {path!r}", "Do not trust this archive.")
        if member.file_size > MAX_PICTURE_BYTES and ENTRY.search(path):
            raise DataError(f"{archive}: {path!r} has {member.file_size:,} bytes", "No picture is that large.")


def copy_dataset(folder: Folder, mirror: Dataset, scenarios: list[Scenario]) -> int:
    """Write a dataset out in the authors' layout.

    Returns:
        How many pictures are there now.
    """
    count = 0
    for scenario in track(scenarios, f"from {mirror.name}", len(scenarios)):
        questions = list(mirror.questions(scenario))
        records = {question.id: record_of(question) for question in questions}
        write_json(folder.records_file(scenario.id), records)
        for question in questions:
            for kind in KINDS:
                if picture := _picture(mirror, question, kind):
                    target = folder.picture(scenario.id, kind, question.id)
                    # A given picture is written whole or not at all, so one that is there needs no second look.
                    if not target.is_file():
                        put(target, picture.encoded()[0], f"{scenario.id}/{kind}/{question.id}")
                    count += 1
    return count


def _picture(mirror: Dataset, question: Question, kind: ImageKind) -> Picture | None:
    try:
        return mirror.picture(question, kind)
    except MissingPicture:
        return None


def put(target: Path, data: bytes, name: str) -> None:
    """Decode a picture, then put it in place as it is.

    Raises:
        DataError: not a readable image.
    """
    decode(data, name)
    write_bytes(target, data)


def missing(folder: Folder, scenarios: list[Scenario]) -> str:
    """What is missing of the pictures that the scenarios' records call for, with names."""
    wanted = [
        (scenario.id, kind, key) for scenario in scenarios for key in folder.records(scenario.id) for kind in KINDS
    ]
    lacking = ["/".join(names) for names in wanted if not folder.picture(*names).is_file()]
    if not wanted:
        return "no records to compare with yet: bring them with questions=FOLDER_OF_PROCESSED_QUESTIONS"
    if not lacking:
        return f"all {len(wanted):,} expected pictures are there"
    return f"{len(lacking):,} of {len(wanted):,} expected are missing: {', '.join(lacking[:5])} ... {BY_HAND}"
