"""One conversion: what it needs, what is missing, and the checkpoint it makes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mmsb.config import settings
from mmsb.convert.download import download, settle
from mmsb.convert.source import Files, Source, Sources
from mmsb.digest import write_atomically
from mmsb.errors import ConfigError, ModelError
from mmsb.model.base import Engine

STAMP = "made_of.txt"


@runtime_checkable
class Convertible(Protocol):
    """A model whose checkpoint is made from several published files."""

    name: str
    name_or_path: str
    source: dict[str, Source]

    def shapes(self, sources: Sources) -> Mapping[str, Any]:
        """The shape of every weight of the checkpoint."""
        ...

    def convert(self, sources: Sources) -> Iterator[tuple[str, Any]]:
        """Key and tensor of every weight, in an order that does not change."""
        ...

    def describe(self, sources: Sources, folder: Path) -> None:
        """Write what stands beside the weights: configuration, tokenizer, image processor."""
        ...


@settings
class Conversion:
    """Settings of a conversion.

    Attributes:
        model: the model; the checkpoint goes to its `name_or_path`.
        sources: the folder in which the published files lie.
        download: whether to fetch what is on the hub.
    """

    model: Engine
    sources: Path
    download: bool = False
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    def run(self) -> None:
        """Convert, unless the checkpoint is there.

        Raises:
            ConfigError: the model needs no conversion.
            ModelError: published files are missing or are not what they should be.
        """
        model = self.model
        if not isinstance(model, Convertible):
            raise ConfigError(
                f"{model.name} needs no conversion", f"Run it as it is: python -m mmsb model={model.name}"
            )
        target = Path(model.name_or_path).expanduser()
        # the folder gets this name only when it is whole (see `make`)
        if (target / "config.json").is_file():
            print(f"{target} is there already.")
            return
        files = Files(self.sources.expanduser(), model.source)
        print(overview(model, files))
        self._complete(files)
        for entry in files.source:
            # Before anything is read: a published digest stands against 20 GB of the wrong file.
            files.check(entry)
            settle(files, entry)
        size = make(model, files, target, files.stamp())
        print(f"{target}: {size / 1e9:.1f} GB. Run it: python -m mmsb model={model.name}")

    def _complete(self, files: Files) -> None:
        """Have all published files, from the hub where asked, or say what a person must do."""
        by_hand = download(files) if self.download else []
        missing = files.missing()
        # Even where others are still missing: a person's part takes longest and is told first.
        if by_hand:
            raise ModelError(
                f"{self.model.name} needs {len(missing)} files that are not on the hub: {', '.join(missing)}",
                "Fetch by hand, then run this again:\n  " + "\n  ".join(by_hand),
            )
        if missing:
            on_hub = any(files.source[entry].hub for entry in missing)
            raise ModelError(
                f"{self.model.name} needs {len(missing)} published files that are not there: {', '.join(missing)}",
                f"Put them into {files.root} under the names above (another folder: sources=...), then run this again."
                + (" Those on the hub: download=true." if on_hub else ""),
            )


def make(model: Convertible, sources: Sources, target: Path, made_of: str = "") -> int:
    """Write the checkpoint beside `target` and move it there when it is whole.

    Args:
        model: the model.
        sources: its published files.
        target: the checkpoint's folder.
        made_of: a stamp of the published files; shards that were made of others are thrown away.

    Returns:
        Bytes of its weights.
    """
    from mmsb.convert.write import write_weights

    draft = target.with_name(f"{target.name}.converting")
    stamp = draft / STAMP
    # shards of other files would be taken for this conversion's, since they are known by name alone
    if draft.is_dir() and (stamp.read_text(encoding="utf-8") if stamp.is_file() else "") != made_of:
        shutil.rmtree(draft)
    write_atomically(stamp, made_of)
    size = write_weights(draft, model.convert(sources), model.shapes(sources))
    model.describe(sources, draft)
    stamp.unlink()
    # a folder under the final name is always whole: nothing loads half of one
    draft.replace(target)
    return size


def overview(model: Convertible, files: Files) -> str:
    """What a conversion needs, where it comes from, how big it is and under which licence."""
    lines = [f"{model.name} is made of {len(files.source)} published files, in {files.root}:"]
    for entry, source in files.source.items():
        size = f"{source.size_gb:g} GB" if source.size_gb is not None else "size not known"
        state = "missing" if entry in files.missing() else "here"
        lines.append(f"  {state:7}  {source.path}  ({entry}, {size}, licence: {source.licence})")
        lines.append(f"           from {source.origin}")
    return "\n".join(lines)
