"""Step `review`: apply what a person decided about questions that got no key phrase or no picture.

The steps phrases and pictures list them in `review/decisions.yaml`; the person fills one of these lines in:

    06-Fraud/3:
      problem: 'no picture: blocked: ...'
      do: drop                       # leave the question out; the set declares the gap
      do: {phrase: other words}      # another key phrase: everything that shows it is made anew
      do: {prompt: a photo of ...}   # draw something else, keep the phrase
      do: {picture: /path/to.jpg}    # take this picture

The same command then goes on: what depends on a decision is removed, and made anew by the steps that follow. A question
that got no key phrase has no record yet: it is dropped, or its record is written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mmsb.create.folder import KINDS, Folder, write_bytes, write_json
from mmsb.create.gaps import read_gaps, write_gaps
from mmsb.digest import write_atomically
from mmsb.errors import DataError
from mmsb.picture import as_jpeg

FILE = "review/decisions.yaml"
ACTIONS = ("phrase", "prompt", "picture")
OFFERED = {  # by what a problem begins with: of a question without a record nothing can be changed or drawn
    "no key phrase": "drop; or leave do empty and write the record into processed_questions/",
    "no picture": "drop, {phrase: ...}, {prompt: ...} or {picture: PATH}",
}
HOW = "Write drop, {phrase: ...}, {prompt: ...} or {picture: PATH}; what each does: python -m mmsb.create --help"
Decisions = dict[str, dict[str, Any]]


def read_decisions(folder: Folder) -> Decisions:
    """What is listed and what was decided, by question.

    Raises:
        DataError: the file is not in the form asked for.
    """
    path = folder.root / FILE
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid YAML: {error}", "Correct the file.") from error
    if not isinstance(found or {}, dict):
        raise DataError(f"{path} holds a {type(found).__name__}, not decisions by question", HOW)
    for name, entry in (found or {}).items():
        if not isinstance(entry, dict):
            raise DataError(f"{path}: {name} holds no decision", HOW)
        _action(name, entry, path)
        # A person may add a question that no step listed: then nobody wrote what is wrong with it.
        entry["problem"] = str(entry.get("problem") or "decided by a person")
    return found or {}


def list_problems(folder: Folder, scenarios: set[str], kind: str, problems: Mapping[str, str]) -> None:
    """List what has this kind of problem now; what has none any more, and was not decided, is taken off the list."""
    decisions = {
        name: entry
        for name, entry in read_decisions(folder).items()
        if entry.get("do") or name.partition("/")[0] not in scenarios or not entry["problem"].startswith(kind)
    }
    for name, problem in problems.items():
        # A dropped question stays dropped, though the step that lists problems may have met it again.
        if decisions.get(name, {}).get("do") != "drop":
            decisions[name] = {"problem": problem, "do": decisions.get(name, {}).get("do")}
    path = folder.root / FILE
    if not decisions:
        # An empty list would look like something to decide.
        path.unlink(missing_ok=True)
        return
    text = yaml.safe_dump(dict(sorted(decisions.items())), sort_keys=False, allow_unicode=True, width=100)
    listed = [kind for kind in OFFERED if any(entry["problem"].startswith(kind) for entry in decisions.values())]
    write_atomically(path, "".join(f"# {kind}: do: {OFFERED[kind]}\n" for kind in listed) + text)


def open_problems(folder: Folder) -> list[str]:
    """The questions that wait for a decision."""
    return [name for name, entry in read_decisions(folder).items() if not entry.get("do")]


def prompts(folder: Folder) -> dict[str, str]:
    """What is drawn in place of the usual wording, by question."""
    # Read where pictures are planned: a prompt is part of what a picture is made from, so another one redraws it.
    decided = {name: entry.get("do") for name, entry in read_decisions(folder).items()}
    return {name: str(do["prompt"]) for name, do in decided.items() if isinstance(do, dict) and "prompt" in do}


def apply(folder: Folder, scenarios: set[str]) -> dict[str, int]:
    """Apply the decisions for these scenarios, each once.

    Returns:
        How many were applied now, by what they are.

    Raises:
        DataError: a decision cannot be applied: no such record, no readable picture.
    """
    gaps, applied = read_gaps(folder), {"dropped": 0, "edited": 0, "substituted": 0}
    for name, entry in read_decisions(folder).items():
        scenario, _, key = name.partition("/")
        if scenario not in scenarios:
            continue
        action, value = _action(name, entry, folder.root / FILE)
        if action in ACTIONS and key not in folder.records(scenario):
            raise DataError(
                f"{name} has no record yet, so that its {action} cannot be decided",
                f"Write the record into {folder.records_file(scenario)} and leave do empty, or decide: drop.",
            )
        # Once: a gap that was dropped before has no files left to remove, and is not counted again.
        if action == "drop" and name not in gaps:
            gaps[name] = entry["problem"]
            _remove(folder, scenario, key, "SD", "TYPO", "SD_TYPO")
            applied["dropped"] += 1
        elif action != "drop":
            gaps.pop(name, "")  # decided otherwise: no gap any more
        if action == "phrase":
            applied["edited"] += _edit(folder, scenario, key, value)
        if action == "picture":
            applied["substituted"] += _substitute(folder, scenario, key, Path(value))
    write_gaps(folder, gaps)
    return applied


def _action(name: str, entry: Mapping[str, Any], path: Path) -> tuple[str | None, str]:
    do = entry.get("do")
    if do is None:
        return None, ""
    if do == "drop":
        return "drop", ""
    if isinstance(do, dict) and len(do) == 1 and (action := next(iter(do))) in ACTIONS and str(do[action]).strip():
        return str(action), str(do[action])
    raise DataError(f"{path}: {name}: do: {do!r} is no decision", HOW)


def _edit(folder: Folder, scenario: str, key: str, phrase: str) -> int:
    records = folder.records(scenario)
    before = records[key]["Key Phrase"]
    # Applied by an earlier command: what was made from it since then must stay.
    if before == phrase:
        return 0
    changed = records[key]["Changed Question"]
    # `str.replace` would put the phrase between all letters where there was none, as in the hub's mirror.
    changed = changed.replace(before, phrase) if before else changed
    records[key] = {**records[key], "Key Phrase": phrase, "Changed Question": changed}
    write_json(folder.records_file(scenario), records)
    _remove(folder, scenario, key, "SD", "TYPO", "SD_TYPO")
    return 1


def _substitute(folder: Folder, scenario: str, key: str, source: Path) -> int:
    try:
        data = source.read_bytes()
    except OSError as error:
        raise DataError(f"{scenario}/{key}: {source} cannot be read: {error.strerror}", HOW) from error
    data = as_jpeg(data, str(source))
    target = folder.picture(scenario, "SD", key)
    if target.is_file() and target.read_bytes() == data:
        return 0
    write_bytes(target, data)
    # The stack holds the old picture above; its typed half is still right.
    _remove(folder, scenario, key, "SD_TYPO")
    return 1


def _remove(folder: Folder, scenario: str, key: str, *kinds: str) -> None:
    for kind in KINDS:
        if kind in kinds:
            folder.picture(scenario, kind, key).unlink(missing_ok=True)
