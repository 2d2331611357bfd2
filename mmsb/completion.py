"""Completion in shells. Hydra's own knows programs and scripts, and not `python -m`; here it is ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.hydra import Hydra

SCRIPTS = Path(__file__).parent / "help"
REMOVED = {
    "bash": "complete -r mmsb python python3; unset -f _mmsb_complete; unset _mmsb_of_python",
    "zsh": "compdef $_mmsb_of_python python python3; compdef -d mmsb; unfunction _mmsb_complete",
    "fish": "for name in mmsb python python3; complete -e -c $name; end; functions -e _mmsb_complete _mmsb_asked",
}


def complete(hydra: Hydra, config_name: str, asked: Sequence[str]) -> None:
    """Print what installs or removes the completion of a shell, or the words that may follow (in COMP_LINE)."""
    what, _, shell = asked[0].partition("=") if len(asked) == 1 else ("", "", "")
    if what == "install" and shell in REMOVED:
        print((SCRIPTS / f"completion.{shell}").read_text(encoding="utf-8"), end="")
    elif what == "uninstall" and shell in REMOVED:
        print(REMOVED[shell])
    else:
        hydra.shell_completion(config_name=config_name, overrides=list(asked))
