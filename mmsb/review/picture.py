"""The picture that belongs to an answer, as a file to look at."""

from __future__ import annotations

from pathlib import Path

from mmsb.digest import draft_of
from mmsb.errors import MmsbError
from mmsb.judge.finished import FinishedRun
from mmsb.labels.answers import Answers, Row

CHANGED = "(as the dataset has it; a defense or the dataset has changed since)"
ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}


def picture_of(run: Answers, row: Row, folder: Path) -> tuple[Path | None, str]:
    """Put the row's picture into a folder, under its identity.

    Args:
        run: the answer's run.
        row: the answer's row.
        folder: where to.

    Returns:
        The file, or None where the picture is not at hand; and what the rater should know of it, if anything.
    """
    ready = next(folder.glob(f"{row['image']}.*"), None)
    if ready:
        return ready, ""
    finished = FinishedRun(run.folder)
    try:
        question = finished.records[finished.named[row["scenario"]].id][row["question_id"]]
        picture = finished.image_mode.picture(question, finished.dataset)
        if picture is None:
            return None, "not at hand: the run's dataset has none"
        data, kind = picture.encoded()
    except (MmsbError, OSError, KeyError) as error:
        return None, f"not at hand: {str(error).splitlines()[0]}"
    # a rater who sees another picture than the model did labels something else
    same = picture.identity == row["image"]
    path = folder / f"{picture.identity}.{ENDINGS[kind]}"
    folder.mkdir(parents=True, exist_ok=True)
    # a viewer may open it the same moment: never half a picture under the final name
    draft = draft_of(path)
    draft.write_bytes(data)
    draft.replace(path)
    return path, "" if same else CHANGED
