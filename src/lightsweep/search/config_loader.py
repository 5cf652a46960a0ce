"""The cached config loader: Hydra composes each choice of config groups once, and jobs set their values in a copy."""

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

SWEEP_DIRECTORIES = "hydra.sweep."  # settings of Hydra on which the composition of a job does not depend
MAX_CACHED_CONFIGS = 64


def with_cached_composition(context: HydraContext) -> HydraContext:
    """Return the context with a cached config loader. Any launcher can use it."""
    return replace(context, config_loader=CachedConfigLoader(context.config_loader))


class CachedConfigLoader(ConfigLoader):
    """Returns the same configs and raises the same errors as `loader`, which needs about 0.1 s per composition.

    It caches the composed configs, also when it is pickled for a worker. Job overrides that do more than choose
    a config group or set a value are passed to `loader`.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self.loader = loader
        self._composed: dict[tuple[str, ...], bytes] = {}  # pickled, because unpickling is 8 times as fast as deepcopy
        self._is_group_name: dict[str, bool] = {}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        try:
            overrides = [*map(_parsed, sweep_overrides)]
            groups = [override for override in overrides if self._is_group(override, master_config)]
            values = [override for override in overrides if override not in groups]
            if all(map(_sets_value_only, values)):
                return self._with_values(master_config, overrides, groups=groups, values=values)
        except (HydraException, OmegaConfBaseException, ValueError):
            pass  # Hydra raises its own error below
        return self.loader.load_sweep_config(master_config, sweep_overrides)

    def _is_group(self, override: Override, master_config: DictConfig) -> bool:
        name = override.key_or_group
        if name not in self._is_group_name:
            config_name = master_config.hydra.job.config_name
            overrides = _hydra_lines(master_config)
            options = self.get_group_options(name, None, config_name=config_name, overrides=overrides)
            self._is_group_name[name] = bool(options)
        return self._is_group_name[name] and not isinstance(override.value(), dict)

    def _with_values(
        self, master_config: DictConfig, overrides: list[Override], *, groups: list[Override], values: list[Override]
    ) -> DictConfig:
        hydra_overrides = [*map(_parsed, _hydra_lines(master_config))]
        directories = [o for o in hydra_overrides if o.key_or_group.startswith(SWEEP_DIRECTORIES)]
        other = [override for override in hydra_overrides if override not in directories]
        cfg = self._copy_of_composed(master_config, hydra_lines=_lines(other), groups=_lines(groups))
        for override in [*directories, *values]:
            _set_value(cfg, override)
        _set_job_info(cfg, [*hydra_overrides, *overrides])
        OmegaConf.copy_cache(from_config=master_config, to_config=cfg)
        return cfg

    def _copy_of_composed(self, master_config: DictConfig, *, hydra_lines: list[str], groups: list[str]) -> DictConfig:
        key = (str(master_config.hydra.job.config_name), *hydra_lines, *groups)
        if key not in self._composed:
            if len(self._composed) == MAX_CACHED_CONFIGS:
                self._composed.clear()
            master_config = deepcopy(master_config)
            with read_write(master_config.hydra):
                master_config.hydra.overrides.hydra = hydra_lines
            composed = self.loader.load_sweep_config(master_config, groups)
            self._composed[key] = pickle.dumps(composed, pickle.HIGHEST_PROTOCOL)
        copied: DictConfig = pickle.loads(self._composed[key])  # noqa: S301  (pickled above)
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


@lru_cache(maxsize=256)  # fixed overrides are the same for every job
def _parsed(line: str) -> Override:
    return OverridesParser.create().parse_overrides([line])[0]


def _hydra_lines(config: DictConfig) -> list[str]:
    """Return the overrides of Hydra's settings, unresolved: an interpolation may stand for a password."""
    lines: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
    return list(lines)


def _lines(overrides: Iterable[Override]) -> list[str]:
    return [str(override.input_line) for override in overrides]


def _sets_value_only(override: Override) -> bool:
    """True if the override only sets a value on which the composition of the config does not depend."""
    key = override.key_or_group
    if override.package or override.is_delete() or override.is_list_extend() or override.is_sweep_override():
        return False
    return not key.startswith("hydra") or key.startswith(SWEEP_DIRECTORIES)


def _set_value(cfg: DictConfig, override: Override) -> None:
    """Set a value as Hydra does. Raises an OmegaConf error or `ValueError` where Hydra rejects it."""
    key, value = override.key_or_group, override.value()
    if override.is_add() and not isinstance(value, dict | list) and OmegaConf.select(cfg, key) is not None:
        raise ValueError(f"{key} exists")
    OmegaConf.update(cfg, key, value, merge=True, force_add=override.is_add() or override.is_force_add())


def _set_job_info(cfg: DictConfig, overrides: Sequence[Override]) -> None:
    """Write what Hydra writes into the config of every job."""
    cfg.hydra.overrides.hydra = _lines(o for o in overrides if o.is_hydra_override())
    cfg.hydra.overrides.task = _lines(o for o in overrides if not o.is_hydra_override())
    cfg.hydra.runtime.cwd = str(Path.cwd())
    with open_dict(cfg.hydra):
        for name in cfg.hydra.job.env_copy:
            cfg.hydra.job.env_set[name] = os.environ[name]
