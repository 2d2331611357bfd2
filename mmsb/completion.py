"""Completion in shells. Hydra's own knows programs and scripts, and not `python -m`; in bash it is this one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.hydra import Hydra

SCRIPT = Path(__file__).parent / "help" / "completion.bash"
INSTALL, UNINSTALL = ["install=bash"], ["uninstall=bash"]


def complete(hydra: Hydra, config_name: str, asked: Sequence[str]) -> None:
    """Print what installs or removes the completion, or the words that may follow (`query=bash`, in COMP_LINE)."""
    if list(asked) == INSTALL:
        print(SCRIPT.read_text(encoding="utf-8"), end="")
    elif list(asked) == UNINSTALL:
        print("complete -r mmsb python python3; unset -f _mmsb_complete; unset _mmsb_of_python")
    else:
        hydra.shell_completion(config_name=config_name, overrides=list(asked))
