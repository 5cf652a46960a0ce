"""Composes the configs of jobs: Hydra composes each choice of groups once, the values of a job are set in a copy."""

import copy
import os
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigSource
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

FOLDER = "hydra.sweep."  # settings of Hydra that nothing else depends on while a job is composed
MAX_COMPOSED = 64  # configs that are kept


def composing_once(context: HydraContext) -> HydraContext:
    """Return the context, for any launcher, with a config loader that composes each choice of groups once."""
    return replace(context, config_loader=CachedConfigLoader(context.config_loader))


class CachedConfigLoader(ConfigLoader):
    """Gives the same configs, and raises the same errors, as the `loader` that it wraps.

    Hydra needs a tenth of a second to compose a config. What it has composed is kept, and goes to the workers with
    the loader.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self.loader = loader
        self._composed: dict[tuple[str | None, ...], bytes] = {}  # pickled: that is copied in an eighth of the time
        self._is_named: dict[str, bool] = {}  # by key whether a group has this name

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        try:
            overrides = [_parsed(line) for line in (*_of_hydra(master_config), *sweep_overrides)]
            composed, values = self._split(overrides, master_config)
            cfg = self._copy_of(composed, master_config)
            for override in values:
                _set_value(cfg, override)
        except (HydraException, OmegaConfBaseException, ValueError):
            return self.loader.load_sweep_config(master_config, sweep_overrides)  # for its words
        _sign(cfg, overrides)
        OmegaConf.copy_cache(from_config=master_config, to_config=cfg)
        return cfg

    def _split(self, overrides: Sequence[Override], master_config: DictConfig) -> tuple[list[Override], list[Override]]:
        """Split into what Hydra composes and the values to be set afterwards, both in their order."""
        is_group = [self._is_group(override, master_config) for override in overrides]
        more_than_values = [n for n, each in enumerate(overrides) if not is_group[n] and not _is_value(each)]
        first = more_than_values[-1] + 1 if more_than_values else 0
        values = [each for n, each in enumerate(overrides) if n >= first and not is_group[n]]
        return [each for n, each in enumerate(overrides) if n < first or is_group[n]], values

    def _is_group(self, override: Override, master_config: DictConfig) -> bool:
        name = override.key_or_group
        if name not in self._is_named:
            options = self.get_group_options(
                name,
                results_filter=None,
                config_name=master_config.hydra.job.config_name,
                overrides=_of_hydra(master_config),
            )
            self._is_named[name] = bool(options)
        return self._is_named[name] and not isinstance(override.value(), dict)

    def _copy_of(self, overrides: Sequence[Override], master_config: DictConfig) -> DictConfig:
        """Return a copy of what Hydra composes from these overrides."""
        key = (master_config.hydra.job.config_name, *_lines(overrides))
        if key not in self._composed:
            if len(self._composed) == MAX_COMPOSED:
                self._composed.clear()
            self._composed[key] = pickle.dumps(self._compose(overrides, master_config), pickle.HIGHEST_PROTOCOL)
        copied: DictConfig = pickle.loads(self._composed[key])  # noqa: S301  (its own)
        return copied

    def _compose(self, overrides: Sequence[Override], master_config: DictConfig) -> DictConfig:
        master = copy.deepcopy(master_config)
        with read_write(master.hydra):
            master.hydra.overrides.hydra = _lines(each for each in overrides if each.is_hydra_override())
        return self.loader.load_sweep_config(master, _lines(each for each in overrides if not each.is_hydra_override()))

    def get_mode(self, config_name: str | None, overrides: list[str]) -> Any:
        return self.loader.get_mode(config_name, overrides)

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        return self.loader.load_configuration(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)

    def get_search_path(self) -> ConfigSearchPath:
        return self.loader.get_search_path()

    def get_sources(self) -> list[ConfigSource]:
        return self.loader.get_sources()

    def list_groups(self, parent_name: str) -> list[str]:
        return self.loader.list_groups(parent_name)

    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        return self.loader.get_group_options(group_name, results_filter, config_name, overrides)

    def compute_defaults_list(self, config_name: str | None, overrides: list[str], run_mode: RunMode) -> Any:
        return self.loader.compute_defaults_list(config_name, overrides, run_mode)


@lru_cache(maxsize=256)  # what is fixed comes with each job
def _parsed(line: str) -> Override:
    return OverridesParser.create().parse_overrides([line])[0]


def _of_hydra(config: DictConfig) -> list[str]:
    """Return the overrides of Hydra's own settings, unresolved: a password must stay so."""
    lines: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
    return list(lines)


def _lines(overrides: Iterable[Override]) -> list[str]:
    return [str(override.input_line) for override in overrides]


def _is_value(override: Override) -> bool:
    """Whether it does no more than to set a value, on which nothing else depends while the config is composed."""
    is_more = override.package or override.is_delete() or override.is_list_extend() or override.is_sweep_override()
    return not is_more and (not override.key_or_group.startswith("hydra") or override.key_or_group.startswith(FOLDER))


def _set_value(cfg: DictConfig, override: Override) -> None:
    """Set a value as Hydra does. Raises an OmegaConf error, or `ValueError`, where Hydra refuses it."""
    key, value = override.key_or_group, override.value()
    if override.is_add() and not isinstance(value, dict | list) and OmegaConf.select(cfg, key) is not None:
        raise ValueError(f"{key} is there")
    OmegaConf.update(cfg, key, value, merge=True, force_add=override.is_add() or override.is_force_add())


def _sign(cfg: DictConfig, overrides: Sequence[Override]) -> None:
    """Write into the config what Hydra writes into that of each job."""
    cfg.hydra.overrides.hydra = _lines(each for each in overrides if each.is_hydra_override())
    cfg.hydra.overrides.task = _lines(each for each in overrides if not each.is_hydra_override())
    cfg.hydra.runtime.cwd = str(Path.cwd())
    with open_dict(cfg.hydra):
        for name in cfg.hydra.job.env_copy:
            cfg.hydra.job.env_set[name] = os.environ[name]
