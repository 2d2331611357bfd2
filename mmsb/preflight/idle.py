"""Settings for defenses that no run of a command has: it would look like another measurement, and be the same one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mmsb.errors import ConfigError
from mmsb.preflight.parts import Cell


def idle(cells: Sequence[Cell]) -> Iterator[ConfigError]:
    """What is set and read by no defense of any run; in a sweep that one reads it is enough.

    Args:
        cells: all runs of the command.
    """
    configs = [cell.config for cell in cells if cell.config is not None]
    texts = {text for config in configs if (text := config.get("defense_text"))}
    for text in sorted(texts - {text for text in texts if any(_reads(config, Path(text)) for config in configs)}):
        yield ConfigError(
            f"defense_text={text}: no defense of this command reads it", "Choose the one that does: defense=prompt"
        )
    placed = {str(config.get("defense_placement", "own")) for config in configs} - {"own"}
    if placed and not any("defense_placement" in OmegaConf.to_yaml(config.defense) for config in configs):
        yield ConfigError(
            f"defense_placement={','.join(sorted(placed))}: no defense of this command has a text that goes anywhere",
            "Choose one that has, such as defense=safety_prompt; or leave it out.",
        )


def _reads(config: DictConfig, text: Path) -> bool:
    """Whether a defense of this run reads the file, or a file of that folder."""
    files = [Path(part.text_file) for part in config.defense.values() if part.get("text_file")]
    return any(text.absolute() in (file.absolute(), file.absolute().parent) for file in files)
