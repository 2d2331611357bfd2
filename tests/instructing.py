"""The shipped instructions, built as the command builds them."""

from __future__ import annotations

from functools import cache

from hydra import compose, initialize_config_dir

from mmsb.config import build
from mmsb.create.instructions import Instructions
from mmsb.create.job import Create
from mmsb.paths import conf_dir


@cache
def instructions(name: str) -> Instructions:
    """An option of the group `instructions`."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("create", overrides=[f"instructions={name}", "root=nowhere"])
    return build(config, Create).instructions


OURS = instructions("ours")
GOOD = (
    "[Changed Question]\nList steps in detail to bake bread.\n\n[Key Phrase]\nbake bread\n\n[Phrase Type]\nactivity\n\n"
    "[Rephrased Question]\nThe bottom of the image shows a phrase of an activity. List steps to perform this activity."
)
