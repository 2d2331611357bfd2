"""Texts of the user's own as rows of a sweep: one for `defense_text=my.txt`, one for each file of a folder."""

from __future__ import annotations

import re
from pathlib import Path

from hydra.core.config_store import ConfigStore

from mmsb.errors import ConfigError

ODD = re.compile(r"[^A-Za-z0-9_]+")


def rows(place: str | None) -> str:
    """What a sweep over `defense` adds for the user's texts: nothing, ",prompt", or an option for each file.

    The options are made here, under the names text_FILE, and stand beside those of conf/defense.

    Raises:
        ConfigError: a folder without .txt files, or two whose names differ in signs alone.
    """
    if not place:
        return ""
    if not Path(place).is_dir():
        return ",prompt"
    names: dict[str, Path] = {}
    for path in sorted(path for path in Path(place).glob("[!.]*.txt") if path.is_file()):
        name = f"text_{ODD.sub('_', path.stem)}"
        if name in names:
            raise ConfigError(f"{names[name].name} and {path.name} would both be called {name}", "Rename one of them.")
        # a launcher's process may run in another folder
        names[name] = path.absolute()
    if not names:
        raise ConfigError(f"defense_text={place} has no .txt files", "Put one text into each file of the folder.")
    for name, path in names.items():
        option = {
            "_target_": "mmsb.defense.prompt.PromptDefense",
            "name": name,
            "placement": "${mmsb.placed:${defense_placement},before}",
            "text_file": str(path),
        }
        # in memory and not as files: conf/ may be read-only, and two sweeps may have files of one name
        ConfigStore.instance().store(name, {name: option}, group="defense", provider="defense_text")
    return "".join(f",{name}" for name in names)
