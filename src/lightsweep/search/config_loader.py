"""Composes the configs of jobs: Hydra composes each choice of groups once, the values of a job are set in a copy."""

import os
import pickle
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

FOLDER = "hydra.sweep."  # settings of Hydra that nothing else depends on while a job is composed
MAX_COMPOSED = 64  # configs that are kept


def with_cached_composition(context: HydraContext) -> HydraContext:
    """Return the context, for any launcher, with a config loader that composes each choice of groups once."""
    return replace(context, config_loader=CachedConfigLoader(context.config_loader))


class CachedConfigLoader(ConfigLoader):
    """Gives the same configs, and raises the same errors, as the `loader` that it wraps.

    Hydra needs a tenth of a second to compose a config. What it has composed is kept, and goes to the workers with
    the loader. An override of a job that does more than to choose a group or to set a value is left to Hydra.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self.loader = loader
        self._composed: dict[tuple[str, ...], bytes] = {}  # pickled: that is copied in an eighth of the time
        self._is_named: dict[str, bool] = {}  # by key whether a group has this name

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        try:
            overrides = [*map(_parsed, sweep_overrides)]
            groups = [each for each in overrides if self._is_group(each, master_config)]
            values = [each for each in overrides if each not in groups]
            if all(map(_is_value, values)):
                return self._with_values(master_config, overrides, groups=groups, values=values)
        except (HydraException, OmegaConfBaseException, ValueError):
            pass  # Hydra says it in its words
        return self.loader.load_sweep_config(master_config, sweep_overrides)

    def _with_values(
        self, master: DictConfig, overrides: list[Override], *, groups: list[Override], values: list[Override]
    ) -> DictConfig:
        of_hydra = [*map(_parsed, _hydra_lines(master))]
        folder = [each for each in of_hydra if each.key_or_group.startswith(FOLDER)]
        cfg = self._copy_of(master, _lines(each for each in of_hydra if each not in folder), _lines(groups))
        for override in [*folder, *values]:
            _set_value(cfg, override)
        _sign(cfg, [*of_hydra, *overrides])
        OmegaConf.copy_cache(from_config=master, to_config=cfg)
        return cfg

    def _is_group(self, override: Override, master: DictConfig) -> bool:
        name = override.key_or_group
        if name not in self._is_named:
            options = self.get_group_options(
                name, None, config_name=master.hydra.job.config_name, overrides=_hydra_lines(master)
            )
            self._is_named[name] = bool(options)
        return self._is_named[name] and not isinstance(override.value(), dict)

    def _copy_of(self, master_config: DictConfig, of_hydra: list[str], groups: list[str]) -> DictConfig:
        """Return a copy of what Hydra composes from these overrides."""
        key = (str(master_config.hydra.job.config_name), *of_hydra, *groups)
        if key not in self._composed:
            if len(self._composed) == MAX_COMPOSED:
                self._composed.clear()
            master = deepcopy(master_config)
            with read_write(master.hydra):
                master.hydra.overrides.hydra = of_hydra
            composed = self.loader.load_sweep_config(master, groups)
            self._composed[key] = pickle.dumps(composed, pickle.HIGHEST_PROTOCOL)
        copied: DictConfig = pickle.loads(self._composed[key])  # noqa: S301  (its own)
        return copied

    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        return self.loader.load_configuration(*args, **kwargs)

    def get_search_path(self) -> Any:
        return self.loader.get_search_path()

    def get_sources(self) -> Any:
        return self.loader.get_sources()

    def list_groups(self, parent_name: str) -> list[str]:
        return self.loader.list_groups(parent_name)

    def get_group_options(self, *args: Any, **kwargs: Any) -> list[str]:
        return self.loader.get_group_options(*args, **kwargs)

    def compute_defaults_list(self, *args: Any, **kwargs: Any) -> Any:
        return self.loader.compute_defaults_list(*args, **kwargs)


@lru_cache(maxsize=256)  # what is fixed comes with each job
def _parsed(line: str) -> Override:
    return OverridesParser.create().parse_overrides([line])[0]


def _hydra_lines(config: DictConfig) -> list[str]:
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
