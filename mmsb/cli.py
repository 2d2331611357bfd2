"""The door of every command: composes the configuration with Hydra, keeps secrets out, and speaks to people.

A command is `run_command(config_name, task)`. Errors for people are printed as two sentences and end with exit code
1; a stack trace comes with HYDRA_FULL_ERROR=1.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mmsb.config import suggestion
from mmsb.digest import write_atomically
from mmsb.errors import ConfigError, MmsbError
from mmsb.paths import PACKAGE, conf_dir

SECRET = re.compile(r"\b(sk-[\w-]{16,}|hf_\w{16,}|AKIA\w{12,}|gh[pousr]_\w{20,}|xox[bap]-\w{10,})")
SECRET_KEY = re.compile(r"^[+~]*[\w.]*(api_key|password|secret|access_token)=", re.IGNORECASE)
USER_INFO = re.compile(r"://[^/@\s]+@")
EXIT_ERROR, EXIT_INTERRUPTED = 1, 130
HELP = {"--help", "-h"}
ERROR_FILE = "error.txt"
ERRORS = (MmsbError, HydraException, OmegaConfBaseException, OSError)


def run_command(config_name: str, task: Callable[[DictConfig], None]) -> int:
    """Compose the configuration from the command line and run `task` on it (once per cell of a sweep).

    Returns:
        The exit code.
    """
    trace = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises instead of printing
    failed: list[MmsbError] = []

    def guarded(config: DictConfig) -> None:
        """One run; its error is shown at once and leaves the other runs of a sweep running."""
        try:
            task(config)
        except ERRORS as error:
            failed.append(readable(error))
            show(failed[-1], trace)
            _record(failed[-1])

    try:
        if HELP.intersection(sys.argv[1:]):
            print(usage(config_name), flush=True)
            return 0
        refuse_secrets(sys.argv[1:])
        sys.argv[1:] = spread_defense_settings(sys.argv[1:])
        hydra.main(config_path=str(conf_dir()), config_name=config_name, version_base="1.3")(guarded)()
    except KeyboardInterrupt:
        say("Interrupted. Everything answered so far is stored; the same command goes on from here.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # who reads the output (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except ERRORS as error:
        show(readable(error), trace)
        return EXIT_ERROR
    return EXIT_ERROR if failed else 0


def usage(config_name: str) -> str:
    """What a command is for, with the options of every group; Hydra's own help takes three times as long."""
    folders = sorted({path.parent for path in conf_dir().glob("*/**/*.yaml")})
    groups = {folder.relative_to(conf_dir()).as_posix(): folder for folder in folders}
    lines = [
        f"{group}: {', '.join(sorted(path.stem for path in folder.glob('*.yaml')))}"
        for group, folder in groups.items()
        if not group.startswith("hydra/")
    ]
    text = (PACKAGE / "help" / f"{config_name}.txt").read_text(encoding="utf-8")
    return text.replace("$APP_CONFIG_GROUPS", "\n".join(lines) + "\n").rstrip()


def _record(error: MmsbError) -> None:
    """Leave the error in the run's folder, where the end of a sweep finds it whatever process ran it."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    with suppress(OSError):  # a full disk, say: the error itself was shown
        write_atomically(folder / ERROR_FILE, str(error) + "\n")


def say(text: str) -> None:
    """Print a line for the person on stderr."""
    print(text, file=sys.stderr)


def show(error: MmsbError, trace: bool = False) -> None:
    """Print an error: the problem, then the remedy; before them the stack trace if asked for."""
    if trace:
        traceback.print_exc()
    say(f"error: {error.problem}")
    if error.remedy:
        say(f"  try: {error.remedy}")


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Stop before a key typed on the command line gets into a file.

    Raises:
        ConfigError: naming the argument's key, never its value.
    """
    for argument in arguments:
        key = argument.partition("=")[0]
        if SECRET_KEY.match(argument) or SECRET.search(argument) or USER_INFO.search(argument):
            raise ConfigError(
                f"{key} looks like a secret; secrets on a command line end up in files and process lists",
                "Put it into an environment variable and give that variable's name, e.g. model.api_key_env=MY_KEY.",
            )


def spread_defense_settings(arguments: Sequence[str]) -> list[str]:
    """Let `defense=safety_prompt defense.text_file=x` mean `defense.safety_prompt.text_file=x`.

    Defenses live under their names, so that several compose; with a single one its name need not be repeated.
    """
    options = {path.stem for path in (conf_dir() / "defense").glob("*.yaml")}
    chosen = [a.partition("=")[2].strip("[]") for a in arguments if a.startswith("defense=")]
    spread = []
    for argument in arguments:
        match = re.match(r"([+~]*)defense\.(\w+)", argument)
        if match and match[2] not in options and chosen and chosen[-1] and "," not in chosen[-1]:
            argument = f"{match[1]}defense.{chosen[-1]}.{argument[match.start(2) :]}"
        spread.append(argument)
    return spread


def readable(error: Exception) -> MmsbError:
    """Any error of ours, of Hydra or of OmegaConf as an error for people."""
    if isinstance(error, MmsbError):
        return error
    text = str(error)
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        place = f"{error.filename}: " if error.filename else ""
        return MmsbError(
            f"{place}{error.strerror or text or type(error).__name__}",
            "Check that path, its permissions and the free space; output_dir=... is where everything is written.",
        )
    if match := re.search(r"Could not (?:find|load) '(\w+)/([^']+)'", text):
        return ConfigError(*_no_option(match[1], match[2]))
    if match := re.search(r"Could not override '([\w./@]+)'", text):
        return _no_setting(match[1], error.__cause__)
    if match := re.search(r"Missing mandatory value: ([\w.]+)", text):
        return ConfigError(f"no value for {match[1]}", f"Add {match[1]}=... to the command.")
    return ConfigError(text.strip().splitlines()[0], "See the options with --help.")


def _no_option(group: str, option: str) -> tuple[str, str]:
    names = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    return f"{group}={option} is not an option", suggestion(option, names)


def _no_setting(key: str, cause: BaseException | None) -> ConfigError:
    """An unknown key: OmegaConf knows the node that lacks it, and so what is allowed there."""
    node = cause.parent_node if isinstance(cause, OmegaConfBaseException) else None
    wrong = str(cause.key) if isinstance(cause, OmegaConfBaseException) else key.rpartition(".")[2]
    allowed = [str(name) for name in node if name not in ("_target_", "hydra")] if isinstance(node, DictConfig) else []
    hint = suggestion(wrong, allowed) if allowed else f"To add a key of your own there, write +{key}=..."
    return ConfigError(f"{key} is not a setting", hint)
