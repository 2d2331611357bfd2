"""Texts of defenses, checked where they are set: a text without its places is answered all the same."""

from __future__ import annotations

from mmsb.errors import ConfigError


def check_text(defense: str, setting: str, text: str, *places: str) -> None:
    """Refuse a text that says nothing, or that has no place for what it is about.

    Args:
        defense: the defense's name.
        setting: what the text is called there.
        text: the text.
        places: the names that must stand in it in braces.

    Raises:
        ConfigError: it is empty, or lacks a place: it would be the same for every sample.
    """
    if not text.strip():
        raise ConfigError(f"defense.{defense}.{setting} is empty", "Give a text that says something.")
    for place in places:
        if f"{{{place}}}" not in text:
            raise ConfigError(
                f"defense.{defense}.{setting} has no place for the {place}", f"Put {{{place}}} where it goes."
            )
