"""What a sweep needs before it starts: values, files, keys, checkpoints. Said once, before the first of its runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from mmsb.comparable import as_published
from mmsb.errors import ConfigError
from mmsb.report.published import published

EXPLAINED = {
    "judge.evaluation_file": "evaluation.py of a checkout of the benchmark authors' repository",
    "judge.model.name": "the judging model; the paper's was gpt-4",
    "dataset.root": "the authors' data/ folder",
}


def check_sweep(config: DictConfig) -> None:
    """Refuse a sweep that cannot run as a whole.

    Args:
        config: composed for the sweep: what its runs share, and `hydra.sweeper.params`.

    Raises:
        ConfigError: naming everything that is missing.
    """
    if needed := list(needs(config)):
        raise ConfigError(
            f"this sweep needs {len(needed)} things that are not there", "Get them first:\n  " + "\n  ".join(needed)
        )


def needs(config: DictConfig) -> Iterator[str]:
    """Everything that is missing, a line each."""
    swept = dict(axes(config))
    for key in missing(OmegaConf.to_container(config)):
        if not any(f"{key}.".startswith(f"{axis}.") for axis in swept):
            explained = f"  ({EXPLAINED[key]})" if key in EXPLAINED else ""
            yield f"{key}=...{explained}"
    if "judge" not in swept:
        yield from _judge(config)
    if OmegaConf.select(config, "model.name_or_path", throw_on_missing=False) and not _placed(config):
        yield from _checkpoints(swept.get("model", [str(config.hydra.runtime.choices.get("model"))]))


def missing(node: object, key: str = "") -> Iterator[str]:
    """The keys of a configuration that wait for a value; Hydra's own wait for each run."""
    if isinstance(node, dict):
        for name, value in node.items():
            if key or name != "hydra":
                yield from missing(value, f"{key}.{name}".lstrip("."))
    elif node == "???":
        yield key


def axes(config: DictConfig) -> Iterator[tuple[str, list[str]]]:
    """Each swept key with its values, from an experiment's file and from the command line."""
    typed = list(config.hydra.overrides.task)
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    for override in OverridesParser.create().parse_overrides([*params, *typed]):
        if override.is_sweep_override():
            yield str(override.key_or_group), [str(value) for value in override.sweep_string_iterator()]


def _judge(config: DictConfig) -> Iterator[str]:
    file = OmegaConf.select(config, "judge.evaluation_file", throw_on_missing=False)
    if file and not Path(file).is_file():
        yield f"judge.evaluation_file={file}: there is no such file"
    variable = OmegaConf.select(config, "judge.model.api_key_env", throw_on_missing=False)
    if variable and not OmegaConf.select(config, "judge.model.base_url") and not os.environ.get(variable):
        yield f"the environment variable {variable}, with the key of the judge's endpoint"


def _placed(config: DictConfig) -> bool:
    """Whether the command says where the weights lie."""
    return any(item.lstrip("+").startswith("model.name_or_path=") for item in config.hydra.overrides.task)


def _checkpoints(models: list[str]) -> Iterator[str]:
    for name in models:
        model = as_published(name) if name in published()["systems"] else None
        if model and hasattr(model, "source") and not (Path(model.name_or_path) / "config.json").is_file():
            yield f"{model.name_or_path}: python -m mmsb.convert model={name} download=true"
