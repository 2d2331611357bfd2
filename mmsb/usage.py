"""What --help prints: what a command is for, and the options of its groups, those of the user's own folders too."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from mmsb.layout import fitted
from mmsb.paths import PACKAGE, conf_dir
from mmsb.targets import spec_of

SEARCHPATH = "hydra.searchpath="
OPTIONS = re.compile(r"\$([a-z_]+)$", re.MULTILINE)  # in a help text: the options of a group
WIDTH = 120  # where no terminal says how wide it is


def usage(config_name: str, config_dir: str | None, overrides: Sequence[str]) -> str:
    """The help of a command; Hydra's own takes three times as long."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for root in (conf_dir(), *own_folders(config_dir, overrides)):
        # Also of the user's own folders: an option that is not listed is not found.
        for path in root.glob("*/**/*.yaml"):
            groups[path.parent.relative_to(root).as_posix()].add(path.stem)
    # A file and not Hydra's `help.template`: that one is composed with the whole configuration first.
    text = (PACKAGE / "help" / f"{config_name}.txt").read_text(encoding="utf-8").rstrip()
    told = OPTIONS.sub(lambda found: ", ".join(sorted(groups[found[1]])), text)
    return fitted(told, shutil.get_terminal_size((WIDTH, 24)).columns)


def own_folders(config_dir: str | None, overrides: Sequence[str]) -> Iterator[Path]:
    """The folders of groups that the user adds: `--config-dir`, and those in `hydra.searchpath`."""
    if config_dir is not None:
        yield Path(config_dir)
    for override in overrides:
        if override.lstrip("+").startswith(SEARCHPATH):
            try:
                value = OverridesParser.create().parse_override(override).value()
            except HydraException:  # said when the command is run
                continue
            for place in value if isinstance(value, list) else [value]:
                yield from _folder(str(place))


def _folder(place: str) -> Iterator[Path]:
    scheme, _, rest = place.rpartition("://")
    if scheme in ("", "file"):
        yield Path(rest)
    elif scheme == "pkg":
        package, *folders = rest.split("/")
        spec = spec_of(package)
        for location in (spec.submodule_search_locations if spec else None) or ():
            yield Path(location, *folders)
