"""Errors of Hydra, OmegaConf, the system and libraries, as errors for people. Hydra's own hints are kept."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

import yaml
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mmsb import targets
from mmsb.config import suggestion
from mmsb.config_rules import nameless
from mmsb.errors import ConfigError, MmsbError
from mmsb.override_rules import ONE, SEVERAL, options_of
from mmsb.own import broken, chosen

ERRORS = (MmsbError, HydraException, OmegaConfBaseException, OSError, ValueError, ImportError, yaml.YAMLError)
INNER_MODEL = re.compile(r"\+?((?:judge|defense)\.(?:\w+\.)*model)=([\w./:-]+)")
VARIABLE = re.compile(r"Environment variable '([^']*)' not found")
MERGED = re.compile(r"merging override '?([\w.+~]+)=(.*): Cannot merge (\w+) with (\w+)")


def readable(error: Exception, arguments: Sequence[str] = ()) -> MmsbError:
    """Any of `ERRORS` as an error for people; `arguments` are those of the command line."""
    if isinstance(error, MmsbError):
        return error
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return _of_hydra(error, arguments)
    if isinstance(error, OSError):
        if error.errno == errno.EADDRINUSE:
            return MmsbError(str(error.strerror or error), "Name another port, or port=0 for any that is free.")
        place = f"{error.filename}: " if error.filename else ""
        path = "that path, its permissions" if place else "the permissions"  # a write does not say which file it was
        return MmsbError(
            f"{place}{error.strerror or str(error) or type(error).__name__}",
            f"Check {path} and the free space; output_dir=... is where everything is written.",
        )
    if isinstance(error, yaml.YAMLError):
        return _of_yaml(error)
    reason = str(error).strip() or type(error).__name__
    if reason.startswith("Config group override must be"):  # Hydra does not say which
        return _null_group(arguments)
    return MmsbError(reason, "See the settings with --cfg job; HYDRA_FULL_ERROR=1 shows where this was met.")


def of_users(error: Exception) -> MmsbError | None:
    """The same of what a class of the user's own raised; None where other code did."""
    return broken(error, targets.in_use)


def _of_yaml(error: yaml.YAMLError) -> ConfigError:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:  # bytes that are no text
        return ConfigError(f"a configuration file cannot be read: {error}", "Save it as YAML in UTF-8.")
    place = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}"
    return ConfigError(f"{place}: this is no YAML: {problem}", "Correct that line, or quote the text in it.")


def _of_hydra(error: Exception, arguments: Sequence[str]) -> MmsbError:
    first, *hints = [line.strip() for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
    # By class where Hydra has one, else by its text: most of its errors are one class and tell themselves apart in
    # words.
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        return _no_option(error.missing_cfg_file, error.options)
    if first.startswith("Ambiguous value for argument") and (several := _ambiguous(first)):
        return several
    if bare := _bare_model(first, arguments):
        return bare
    if match := re.search(r"Could not override '([\w./@]+)'", first):
        return _no_setting(match[1], error.__cause__, hints, arguments)
    if match := re.search(r"Missing mandatory value: ([\w.]+)", first):
        return ConfigError(f"no value for {match[1]}", f"Add {match[1]}=... to the command.")
    if match := VARIABLE.search(str(error)):
        told = f"the environment variable {match[1]}, which a setting is taken from, is not set"
        return ConfigError(told, f"export {match[1]}=..., or say what holds without it: ${{oc.env:{match[1]},VALUE}}")
    if match := re.search(r"Could not load '(\w+)/([\w/]+)'", first):  # of a list; Hydra names no options here
        return _no_option(f"{match[1]}/{match[2]}", options_of(match[1]))
    hints = [hint for hint in hints if not hint.startswith(("full_key:", "object_type=", "reference_type="))]
    if isinstance(error.__cause__, OmegaConfBaseException):
        first = f"{first}: {str(error.__cause__).splitlines()[0]}"
    if match := MERGED.search(first):
        meant = "a mapping is meant, {NAME: VALUE}" if match[3] == "DictConfig" else "a list is meant, [A, B]"
        return ConfigError(f"{match[1]}={match[2]}: {meant}", "See what stands there with --cfg job.")
    return ConfigError(first, "\n".join(hints) or "See the options with --help.")


def _bare_model(reason: str, arguments: Sequence[str]) -> ConfigError | None:
    """`judge.model=vllm`: a word stands where settings are looked for."""
    for match in filter(None, map(INNER_MODEL.fullmatch, arguments)):
        key, value = match.groups()
        if f"Could not override '{key}." in reason or "is not a container" in reason:
            told = chosen(key, value, "model")
            return ConfigError(f"{key}={value}: a model's settings stand there", f"{told[0].upper()}{told[1:]}.")
    return None


def _null_group(arguments: Sequence[str]) -> ConfigError:
    """`image_mode=null`."""
    groups = [key for key, _, value in (argument.partition("=") for argument in arguments) if value in ("null", "~")]
    group = next((key for key in groups if key in (*ONE, *SEVERAL)), None)
    if group is None:
        return ConfigError("a group cannot be set to null on the command line", "Take it out with a tilde: ~model")
    remedy = f"allowed: {', '.join(options_of(group))}; ~{group} takes it out"
    return ConfigError(f"{group}=null: a group cannot be set to null", remedy)


def _no_option(missing: str, options: Sequence[str]) -> ConfigError:
    """Hydra knows the options of all folders, the user's own among them."""
    path, _, option = missing.rpartition("/")
    group, _, folder = path.partition("/")
    if group == "hydra":
        group, folder = path, ""
    inner = f"{folder}/" if folder else ""
    names = [f"{inner}{name}" for name in sorted(options)]
    return ConfigError(f"{group}={inner}{option} is not an option", suggestion(f"{inner}{option}", names))


def _ambiguous(text: str) -> ConfigError | None:
    """`image_mode=sd,typo` without -m, for the groups that we know."""
    argument = text.partition("'")[2].rpartition("'")[0]
    key, _, options = argument.partition("=")
    group = key.lstrip("+").partition("@")[0]
    if group in ONE:
        return ConfigError(f"{argument}: {group} takes one option", f"For one run each: {argument} -m")
    if group in SEVERAL:
        remedy = f"Together: '{key}=[{options}]'; one run each: {argument} -m"
        return ConfigError(f"{argument} may mean two things", remedy)
    return None


def _no_setting(key: str, cause: BaseException | None, hints: Sequence[str], arguments: Sequence[str]) -> ConfigError:
    """An unknown key: OmegaConf knows the node that lacks it, and so what is allowed there."""
    node = cause.parent_node if isinstance(cause, OmegaConfBaseException) else None
    group, _, rest = key.partition(".")
    typed = [argument.partition("=")[2] for argument in arguments if argument.lstrip("+~").startswith(f"{key}=")]
    # Only what some chosen defense has, or a bare word: else the key is a typing error of another kind.
    name = rest.partition(".")[0]
    parts = _parts(node) if group in SEVERAL and rest and isinstance(node, DictConfig) and name not in node else []
    if any(name in part for _, part in parts) or (parts and "." not in rest):
        return nameless(key, typed[-1] if typed else "...", node)
    if node is None and key == "font":
        return ConfigError("font is no group here", "A font of your own: image_mode.font.path=/path/to/font.ttf")
    if node is None and hints:
        return ConfigError(f"{key} cannot be chosen", "\n".join(hints))
    wrong = str(cause.key) if isinstance(cause, OmegaConfBaseException) else key.rpartition(".")[2]
    if isinstance(node, DictConfig) and wrong == group:
        # Whoever types `limit=3` or `server.within=60` knows the setting, and not whose it is.
        owners = [str(name) for name, part in _parts(node) if group in part]
        if owners:
            return ConfigError(f"{key} is not a setting by itself", f"Name its group: {key_of(owners, key, typed)}")
    allowed = [str(name) for name in node if name not in ("_target_", "hydra")] if isinstance(node, DictConfig) else []
    behind = f".{rest}" if rest and wrong == group else ""
    hint = suggestion(wrong, allowed, behind) if allowed else f"To add a key of your own there, write +{key}=..."
    return ConfigError(f"{key} is not a setting", hint)


def _parts(node: DictConfig) -> list[tuple[str, DictConfig]]:
    """The mappings in a mapping, by name; what stands beside them may still wait for its value."""
    return [(str(name), part) for name, part in node.items_ex(resolve=False) if isinstance(part, DictConfig)]


def key_of(owners: Sequence[str], key: str, typed: Sequence[str]) -> str:
    """The settings of that name, as they would be typed."""
    return " or ".join(f"{owner}.{key}={typed[-1] if typed else '...'}" for owner in owners)
