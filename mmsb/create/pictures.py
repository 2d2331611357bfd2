"""Step `pictures`: draw each key phrase.

A picture carries what it was made from in its JPEG comment, so a picture is there and right, or it is drawn: the
step resumes after a kill at any point, and redraws what no longer fits its phrase or the generator's settings.
Pictures without such a comment were given (the authors', say) and stay. Each is decoded before it is put in place.
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from mmsb.create.compare import appearance
from mmsb.create.folder import Folder, write_bytes
from mmsb.create.gaps import read_gaps
from mmsb.create.review import prompts
from mmsb.digest import digest
from mmsb.errors import DataError
from mmsb.generator.base import Batch, Batched, Drawn, Generator, Live, Order, order
from mmsb.model.endpoints import Endpoints
from mmsb.picture import FORMATS, decode
from mmsb.pipeline import each
from mmsb.progress import track
from mmsb.scenario import Scenario
from mmsb.types import Failure

MAKER = "mmsb"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be drawn: each batch that lacks a picture, whole: in half precision a picture depends on its batch."""

    batches: list[Batch]
    missing: frozenset[Order]
    given: int
    there: int


def plan(folder: Folder, scenarios: Iterable[Scenario], generator: Generator) -> Plan:
    """Look at every question's picture."""
    drawn_as, gaps = prompts(folder), read_gaps(folder)
    orders = []
    for scenario in scenarios:
        for question in folder.questions(scenario):
            made = order(generator, scenario.id, question.id, question.key_phrase)
            # Without the phrase: `made_from` then keeps the person's words as the wording, in which none is looked for.
            orders.append(replace(made, prompt=drawn_as[made.name], phrase="") if made.name in drawn_as else made)
    orders = [item for item in orders if item.name not in gaps]
    # "A photo of " would draw anything, and the picture would be recorded as the question's.
    if blank := [item.name for item in orders if item.prompt == generator.prompt.replace("{phrase}", "")]:
        raise DataError(
            f"{len(blank)} questions have no key phrase to draw, e.g. {blank[0]}",
            "The hub's mirror holds none: copy it with dataset.question_files=AUTHORS_FOLDER.",
        )
    states = {item: _state(folder, item, generator) for item in orders}
    missing = frozenset(item for item in orders if states[item] == "missing")
    # Batches are made of all that is ours, drawn or not: made of what is missing, they would change with every kill.
    batches = generator.batches([item for item in orders if states[item] != "given"])
    counts = list(states.values())
    open_batches = [batch for batch in batches if not missing.isdisjoint(batch)]
    return Plan(open_batches, missing, counts.count("given"), counts.count("there"))


def draw_pictures(
    folder: Folder, planned: Plan, generator: Generator, endpoints: Endpoints
) -> list[tuple[Order, Failure]]:
    """Draw what is missing and put it in place, one by one as pictures come.

    Args:
        folder: of the dataset.
        planned: what is to be drawn.
        generator: draws it.
        endpoints: has the clients and limits, where it is an endpoint.

    Returns:
        The pictures that could not be drawn.
    """
    failed = []
    total = sum(len(batch) for batch in planned.batches)
    for item, drawn in track(drawn_by(generator, planned.batches, endpoints), "pictures", total):
        # Drawn only to fill its batch: the file that is there keeps its bytes.
        if item not in planned.missing:
            continue
        if isinstance(drawn, Image.Image):
            problem = put(drawn, _path(folder, item), made_from(item, generator))
            drawn = problem or drawn
        if isinstance(drawn, Failure):
            failed.append((item, drawn))
    return failed


def drawn_by(generator: Generator, batches: Iterable[Batch], endpoints: Endpoints) -> Iterator[Drawn]:
    """Have batches drawn, by a generator of either kind.

    Raises:
        ModelError: it can draw nothing.
    """
    if isinstance(generator, Batched):
        return generator.draw(batches)
    assert isinstance(generator, Live), f"{generator} neither draws nor has sessions"
    # Streamed: `each` keeps `concurrency` of them under way, and a picture is on disk soon after it came.
    orders = (order for batch in batches for order in batch)
    return each(orders, _session(generator, endpoints), generator.concurrency)


@asynccontextmanager
async def _session(
    generator: Live, endpoints: Endpoints
) -> AsyncIterator[Callable[[Order], Coroutine[Any, Any, Drawn]]]:
    """What draws an order, and gives it back with its picture."""
    try:
        async with generator.session(endpoints) as ask:

            async def drawn(order: Order) -> Drawn:
                return order, await ask(order)

            yield drawn
    finally:
        await endpoints.close()


def put(image: Image.Image, path: Path, comment: dict[str, Any]) -> Failure | None:
    """Save a picture as JPEG with Pillow's defaults, read it back, and put it in place.

    Returns:
        Why it was not put in place: black, or of one flat colour.
    """
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", comment=json.dumps(comment, sort_keys=True).encode())
    # Looked at as it reads back, which is what models are shown.
    problem = appearance(decode(buffer.getvalue(), str(path)))
    if problem and not problem.startswith("blurred"):
        return Failure("blank", f"one of the {problem}, which is what safety checkers leave")
    write_bytes(path, buffer.getvalue())
    return None


def made_from(item: Order, generator: Generator) -> dict[str, Any]:
    """What a picture is made from; `key` is its digest."""
    facts = {"prompt": item.prompt, "seed": item.seed, "generator": dict(generator.fingerprint())}
    wording = generator.prompt if item.phrase else item.prompt
    # The wording is not in the key: the prompt, which is, already follows from it.
    return {"maker": MAKER, "key": digest(facts), "wording": wording, **facts}


def read_comment(path: Path) -> dict[str, Any] | None:
    """What a picture of ours was made from; None for a picture that was given.

    Raises:
        DataError: not a readable image.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            return _facts(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a readable image: {error}", "Restore or remove it.") from error


def _facts(image: Image.Image) -> dict[str, Any] | None:
    try:
        facts = json.loads(image.info.get("comment", b""))
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and facts.get("maker") == MAKER else None


def is_whole(path: Path) -> bool:
    """Whether a picture can be read to its end."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.draft("L", (1, 1))  # every byte is read, an eighth of the pixels is made
            image.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def _state(folder: Folder, item: Order, generator: Generator) -> str:
    path = _path(folder, item)
    if not path.is_file():
        return "missing"
    facts = read_comment(path)
    # A file copied by hand may be cut where our own, which are put in place whole, cannot.
    whole = is_whole(path)
    if facts is None and not whole:
        raise DataError(f"{path} is cut short and was not drawn here", "Restore it from its source, or remove it.")
    if facts is None:
        return "given"
    # By what it was made from, not by its age: another prompt, seed, model or number of steps draws it anew.
    return "there" if whole and facts.get("key") == made_from(item, generator)["key"] else "missing"


def _path(folder: Folder, item: Order) -> Path:
    scenario, _, key = item.name.partition("/")
    return folder.picture(scenario, "SD", key)
