"""Configurations composed once and checked before Hydra sees them: it composes to look at the mode, again to start."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mmsb.config_rules import check_composed
from mmsb.errors import ConfigError
from mmsb.override_rules import ONE, SEVERAL


class Files(ConfigRepository):
    """Reads each file of a configuration once; reading YAML is half of what composing a run takes."""

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        """Another search path is other files."""
        self._read: dict[str, ConfigResult | None] = {}
        super().initialize_sources(config_search_path)

    def __deepcopy__(self, memo: dict[int, Any]) -> Files:
        """Hydra copies it for every composition; what was read is shared until the search path changes."""
        return copy.copy(self)

    def load_config(self, config_path: str) -> ConfigResult | None:
        """A file's contents; a copy, since who composes writes into it."""
        if config_path not in self._read:
            # Forty-eight runs read the same eighty files.
            try:
                self._read[config_path] = super().load_config(config_path)
            except UnicodeDecodeError as error:  # it does not say of which file
                raise ConfigError(f"{config_path}.yaml is not UTF-8: {error.reason}", "Save it in UTF-8.") from error
        found = self._read[config_path]
        return found and dataclasses.replace(found, config=copy.deepcopy(found.config))


class Loader(ConfigLoaderImpl):
    """Composes a command once, and each run of a sweep: Hydra does it again to check it, and again to start it.

    Attributes:
        checks: whether what is composed must be what may be run; where words are completed nothing is.
    """

    def __init__(self, config_search_path: ConfigSearchPath, *, checks: bool = True) -> None:
        """Nothing is composed yet."""
        super().__init__(config_search_path)
        self.checks = checks
        self.repository = Files(config_search_path)
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._looked_at: tuple[list[str], DictConfig | Exception] | None = None

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """A command's configuration, or that of one run of a sweep.

        Raises:
            ConfigError: it may not be run; see `mmsb.config_rules`.
        """
        if not validate_sweep_overrides:  # its mode is all that Hydra wants
            return self._look(config_name, overrides, run_mode, from_shell)
        config = self._whole(config_name, overrides, run_mode, from_shell)
        # Here: Hydra sets up its logging by it before it gives it to anybody.
        if self.checks and config_name is not None:  # None: Hydra's own help
            check_composed(config, config_name, self)
        return config

    def _whole(self, config_name: str | None, overrides: list[str], run_mode: RunMode, from_shell: bool) -> DictConfig:
        """What Hydra had composed to look at its mode, once that is known to be right."""
        seen, self._looked_at = self._looked_at, None
        mode = f"hydra.mode={run_mode.name}"  # what Hydra adds where nothing sets the mode
        if seen is None or overrides not in (seen[0], [*seen[0], mode]):
            return self._load(config_name, overrides, run_mode, from_shell)
        self.validate_sweep_overrides_legal(OverridesParser.create().parse_overrides(overrides), run_mode, from_shell)
        config = seen[1]
        if isinstance(config, Exception):
            raise config
        if run_mode is RunMode.RUN and OmegaConf.missing_keys(config.hydra.runtime.choices):  # passed over before
            return self._load(config_name, overrides, run_mode, from_shell)
        if overrides != seen[0]:
            config.hydra.mode = run_mode
            config.hydra.overrides.hydra.append(mode)
        return config

    def _look(self, config_name: str | None, overrides: list[str], run_mode: RunMode, from_shell: bool) -> DictConfig:
        asked, self._looked_at = list(overrides), None
        try:
            config = self._load(config_name, overrides, run_mode, from_shell, False)
        except Exception as error:
            self._looked_at = asked, error
            raise
        self._looked_at = asked, config
        return config

    def _load(self, config_name: str | None, overrides: list[str], *how: Any) -> DictConfig:
        """Compose what the runs of a sweep share.

        Hydra leaves out what is swept over: of `judge=rubric,graded judge.model.name=x` the second would be a setting
        of the judge that is chosen without it. So the first of the options stands there, where it is needed.
        """
        try:
            return super().load_configuration(config_name, overrides, *how)
        except HydraException:
            if not (first := list(_first_options(overrides))):
                raise
        config = super().load_configuration(config_name, [*first, *overrides], *how)
        config.hydra.overrides.task = config.hydra.overrides.task[len(first) :]
        return config

    def __getstate__(self) -> dict[str, Any]:
        """Without what was composed: a launcher sends the loader to another process with every run."""
        return {**self.__dict__, "_composed": {}}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """One run's configuration; a copy, since who starts it writes into it."""
        config = copy.deepcopy(self.composed(master_config, tuple(sweep_overrides)))
        # what was composed before the sweep had a time and a token must see those that it has by now
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config

    def composed(self, master_config: DictConfig, overrides: tuple[str, ...]) -> DictConfig:
        """The same, only to be read."""
        if overrides not in self._composed:
            self._composed[overrides] = super().load_sweep_config(master_config, list(overrides))
        return self._composed[overrides]


def _first_options(overrides: Sequence[str]) -> Iterator[str]:
    """Of groups that are swept over, the first option."""
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        group = (override.key_or_group or "").partition("/")[0]
        if group in (*ONE, *SEVERAL) and override.is_choice_sweep():
            yield f"{override.get_key_element()}={next(override.sweep_string_iterator())}"
