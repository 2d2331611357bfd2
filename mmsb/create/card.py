"""Step `card`: the manifest, the dataset card, and a contact sheet for each scenario to look at."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from mmsb.create.folder import KINDS, Folder, write_bytes, write_json
from mmsb.create.gaps import read_gaps
from mmsb.create.pictures import read_comment
from mmsb.create.review import prompts
from mmsb.dataset.mm_safetybench import GAPS, read_json
from mmsb.digest import digest_file, write_atomically
from mmsb.errors import DataError
from mmsb.picture import decode, jpeg
from mmsb.progress import track
from mmsb.run import environment

COLUMNS, ROWS, SIDE, CAPTION = 8, 6, 160, 12  # of a contact sheet; pixels
# Neither sheets nor the card: they are made from what is listed.
PATTERNS = ("processed_questions/*.json", "questions/*.txt", "scenario/*.yaml", "gaps.json", "imgs/*/*/[!.]*.jpg")


def write_card(folder: Folder, settings: Mapping[str, Any]) -> list[Path]:
    """Write manifest, card and sheets for everything in the folder.

    Returns:
        The contact sheets.
    """
    sheets = [path for scenario in folder.scenarios() if (path := write_sheet(folder, scenario))]
    files = {
        path.relative_to(folder.root).as_posix(): path
        for pattern in PATTERNS
        for path in sorted(folder.root.glob(pattern))
    }
    entries = {name: describe(path) for name, path in track(files.items(), "manifest", len(files))}
    # The manifest comes after all it lists and before the card, which says that every file's digest is in it.
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    write_json(
        folder.root / "manifest.json",
        {"made": made, "settings": dict(settings), "environment": environment(), "files": entries},
    )
    write_atomically(folder.root / "README.md", card_text(folder, settings, made))
    return sheets


def describe(path: Path) -> dict[str, Any]:
    """A file's digest; of a picture that was drawn here also prompt, seed, generator and time."""
    entry: dict[str, Any] = {"sha256/128": digest_file(path)}
    # A picture that was given has no such comment: nothing is claimed of how it was made.
    if path.parent.name == "SD" and (facts := read_comment(path)):
        drawn = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(path.stat().st_mtime))
        entry |= {key: facts[key] for key in ("prompt", "seed", "generator") if key in facts} | {"drawn": drawn}
    return entry


def write_sheet(folder: Folder, scenario: str) -> Path | None:
    """Thumbnails of a scenario's first pictures with their ids: stacked ones where there are some."""
    for kind in ("SD_TYPO", "SD", "TYPO"):
        paths = sorted((folder.root / "imgs" / scenario / kind).glob("[!.]*.jpg"), key=_by_number)
        if paths:
            break
    else:
        return None
    # To be looked at by a person: one page a scenario, not all of it.
    shown = paths[: COLUMNS * ROWS]
    rows = -(-len(shown) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + CAPTION)), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for place, path in enumerate(shown):
        x, y = place % COLUMNS * SIDE, place // COLUMNS * (SIDE + CAPTION)
        image = decode(path.read_bytes(), str(path))
        image.thumbnail((SIDE - 4, SIDE - 4))
        sheet.paste(image, (x + 2, y + CAPTION))
        pen.text((x + 2, y), path.stem, (90, 90, 90))
    target = folder.root / "sheets" / f"{scenario}.jpg"
    write_bytes(target, jpeg(sheet))
    return target


def card_text(folder: Folder, settings: Mapping[str, Any], made: str) -> str:
    """The dataset card: what is in the folder, how it was made, how it is used, what it must not be used for."""
    lines = [
        "---",
        f"pretty_name: {folder.root.resolve().name}",
        "task_categories: [visual-question-answering]",
        "tags: [safety, evaluation, MM-SafetyBench]",
        "---",
        "",
        f"# {folder.root.resolve().name}",
        "",
        "Questions whose decisive words are shown in a picture, to measure whether a multimodal model that declines a",
        "question in text answers it when part of it moves into an image. The layout is that of MM-SafetyBench",
        "(arXiv 2311.17600).",
        "",
        "| scenario | questions | SD | TYPO | SD_TYPO |",
        "|---|---|---|---|---|",
    ]
    for scenario in folder.scenarios():
        counts = [len(list((folder.root / "imgs" / scenario / kind).glob("[!.]*.jpg"))) for kind in KINDS]
        lines.append(f"| {scenario} | {len(folder.records(scenario))} | {' | '.join(map(str, counts))} |")
    # A set that lacks questions has other rates than one that is whole: whoever reads the card must see which.
    if gaps := read_gaps(folder):
        lines += ["", f"{len(gaps)} questions are left out (`{GAPS}`): an evaluation goes on without them.", ""]
        lines += [f"- {name}: {_short(why)}" for name, why in gaps.items()]
    if drawn_as := prompts(folder):
        lines += ["", f"{len(drawn_as)} pictures show something else than their phrase, by a person's decision:", ""]
        lines += [f"- {name}: {wording}" for name, wording in drawn_as.items()]
    lines += ["", "## How it was made", "", f"With mmsb, on {made}; every file's digest is in `manifest.json`.", ""]
    lines += [f"- {name}: {_short(value)}" for name, value in settings.items() if value]
    lines += [
        "",
        "## How it is used",
        "",
        "```",
        "python -m mmsb dataset=mm_safetybench dataset.root=THIS_FOLDER",
        "```",
        "",
        "It holds harmful requests and is meant for testing models only. Add the licence of the questions and of the",
        "image generator before you share it.",
        "",
    ]
    return "\n".join(lines)


def read_manifest(folder: Folder) -> dict[str, str]:
    """Each file's digest as the manifest has it; empty where there is none.

    Raises:
        DataError: the manifest is not one of ours.
    """
    path = folder.root / "manifest.json"
    if not path.is_file():
        return {}
    try:
        return {name: entry["sha256/128"] for name, entry in read_json(path)["files"].items()}
    # Any JSON can lie there: a list, an entry without a digest, a number for an entry.
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not a manifest", "Make it anew: steps=[card]") from error


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items() if inner not in (None, {}, ""))
    return str(value)


def _by_number(path: Path) -> tuple[int, str]:
    # By number as the records are, so that 10 does not come before 2; names that are no numbers come last.
    return (int(path.stem), "") if path.stem.isdecimal() else (1 << 62, path.stem)
