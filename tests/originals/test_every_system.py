"""No system of the paper goes without a recording of its authors' own code."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hydra import initialize_config_dir

from mmsb.model.card import Card
from mmsb.models import presets
from mmsb.paths import conf_dir

HERE = Path(__file__).parent
READERS = "\n".join(path.read_text(encoding="utf-8") for path in HERE.glob("*.py") if path != Path(__file__))


@cache
def paper() -> dict[str, Card]:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cards = {preset.name: preset.card for preset in presets(("mmsb",))}
    return {name: card for name, card in cards.items() if card is not None and card.paper}


def test_each_system_of_the_paper_is_held_against_a_recording() -> None:
    assert len(paper()) == 15  # presets of the twelve systems
    for name, card in paper().items():
        assert card.recording, f"{name} names no recording of its authors' code"
        for ending in ("json", "safetensors"):
            assert (HERE / f"{card.recording}.{ending}").is_file(), name
        assert f'"{card.recording}"' in READERS, f"nothing replays the recording of {name}"
