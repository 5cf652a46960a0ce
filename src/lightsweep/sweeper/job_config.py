"""Composes the config of a trial from one that is there: Hydra needs a tenth of a second, this a few milliseconds."""

import contextlib
import copy
import os
import pickle
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, ListConfig, OmegaConf, StringNode, base, grammar_parser, open_dict
from omegaconf.errors import OmegaConfBaseException

# Of each `${...}` OmegaConf reads the grammar anew each time it is resolved, half a millisecond long.
setattr(base, "parse", lru_cache(maxsize=1024)(grammar_parser.parse))  # noqa: B010


FLOAT = re.compile(r"-?\d+\.\d+(e[-+]?\d+)?|-?\d+e[-+]?\d+")
ORIGIN = "_lightsweep_origin"
OF_THE_FOLDER = "hydra.sweep."  # settings of Hydra that nothing else depends on when a job is composed


def origin_of(config: DictConfig) -> str | None:
    """What tells the configs that are copies of the same composed one, of which only a job's own sections differ."""
    origin: str | None = vars(config).get(ORIGIN)
    return origin


def composing_once(context: HydraContext) -> HydraContext:
    """The same context, for any launcher, with a config loader that composes each choice of groups once."""
    fast = copy.copy(context)
    if type(context.config_loader) is ConfigLoaderImpl:
        fast.config_loader = JobConfigLoader(context.config_loader)
    return fast


class JobConfig(DictConfig):
    """A config that is copied by way of pickle, in an eighth of the time: Hydra copies a job's several times."""

    def __deepcopy__(self, memo: dict[int, Any]) -> DictConfig:
        parent = self._get_parent()
        self._set_parent(None)  # a copy keeps its parent, and does not copy it
        try:
            copied: DictConfig = pickle.loads(pickle.dumps(self, pickle.HIGHEST_PROTOCOL))  # noqa: S301  (its own)
        except Exception:  # noqa: BLE001  (an object that can't be pickled was put into the config)
            copied = super().__deepcopy__(memo)
        finally:
            self._set_parent(parent)
        copied._set_parent(parent)
        return copied


class JobConfigLoader(ConfigLoaderImpl):
    """Composes a job's config as Hydra does: first the groups, then one value after the other.

    What the groups give is kept, and so is each config file: it is read at the first job that chooses it.
    """

    def __init__(self, loader: ConfigLoaderImpl) -> None:
        vars(self).update(vars(loader), repository=_ReadOnce(loader.repository))
        self._composed: dict[tuple[str, ...], tuple[Callable[[], DictConfig], int]] = {}
        self._master: DictConfig | None = None
        self._is_named: dict[str, bool] = {}  # by key whether a group has this name

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_composed": {}, "_master": None}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        # Unresolved: a password must stay so.
        of_master: Any = OmegaConf.to_container(master_config.hydra.overrides.hydra)
        try:
            overrides = [parsed(override) for override in sweep_overrides]
            groups = [override for override in overrides if self._is_group(override)]
            cfg, n_known = self._copy_for([override.input_line or "" for override in groups], master_config)
            values = [*map(parsed, of_master[n_known:]), *(each for each in overrides if each not in groups)]
            if any(o.is_hydra_override() and not o.key_or_group.startswith(OF_THE_FOLDER) for o in values):
                return super().load_sweep_config(master_config, sweep_overrides)
            self._apply_overrides_to_config(values, cfg)
        except (HydraException, OmegaConfBaseException, ValueError):
            return super().load_sweep_config(master_config, sweep_overrides)  # for its words
        _sign(cfg, overrides, of_master=of_master)
        OmegaConf.copy_cache(from_config=master_config, to_config=cfg)
        return cfg

    def _is_group(self, override: Override) -> bool:
        name = override.key_or_group
        if name not in self._is_named:
            self._is_named[name] = self.repository.group_exists(name)
        return self._is_named[name] and not isinstance(override.value(), dict)

    def _copy_for(self, groups: Sequence[str], master_config: DictConfig) -> tuple[DictConfig, int]:
        """A copy of what these groups give, and how many of the master's overrides for Hydra are in it."""
        if self._master is not master_config:
            self._composed.clear()
            self._master = master_config
        composed = self._composed.get(tuple(groups))
        if composed is None:
            cfg = _as_job_config(super().load_sweep_config(master_config, list(groups)))
            composed = self._composed[tuple(groups)] = _copies_of(cfg), len(master_config.hydra.overrides.hydra)
        return composed[0](), composed[1]


class _ReadOnce:
    """Hydra's repository of config files, which copies itself for each composition; the copies share what was read."""

    def __init__(self, repository: Any, read: dict[Any, Callable[[], Any]] | None = None) -> None:
        self._repository = repository
        self._read = {} if read is None else read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._repository, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_ReadOnce":
        return _ReadOnce(copy.deepcopy(self._repository, memo), self._read)

    def __reduce__(self) -> tuple[Any, ...]:
        return _ReadOnce, (self._repository,)

    def load_config(self, config_path: str) -> Any:
        key = config_path, *(source.full_path() for source in self._repository.get_sources())  # a copy may have others
        if key not in self._read:
            self._read[key] = _copies_of(self._repository.load_config(config_path))
        return self._read[key]()


def parsed(override: str) -> Override:
    key, _, text = override.partition("=")
    if FLOAT.fullmatch(text):  # drawn for one job
        return replace(_parsed(f"{key}=0.5"), _value=float(text), input_line=override)
    return _parsed(override)


@lru_cache(maxsize=256)  # what is fixed comes with each job
def _parsed(override: str) -> Override:
    return OverridesParser.create().parse_overrides([override])[0]


def _as_job_config(cfg: DictConfig) -> DictConfig:
    for node in (cfg.hydra, cfg):
        object.__setattr__(node, "__class__", JobConfig)  # a config takes every other assignment for a key
    vars(cfg)[ORIGIN] = uuid.uuid4().hex
    return cfg


def _copies_of(config: Any) -> Callable[[], Any]:
    """What gives a deep copy at each call, in half the time of one: the config is read once, as it is now."""
    content = b""
    with contextlib.suppress(Exception):  # an object that can't be pickled was put into the config
        content = pickle.dumps(config, pickle.HIGHEST_PROTOCOL)

    def copied() -> Any:
        try:
            return pickle.loads(content)  # noqa: S301  (its own)
        except Exception:  # noqa: BLE001  (nothing was pickled, or what was can't be read again)
            return copy.deepcopy(config)

    return copied


def _sign(cfg: DictConfig, overrides: Sequence[Override], *, of_master: Sequence[str]) -> None:
    """Write into the config what Hydra writes into that of each job; `of_master` are the overrides for Hydra before."""
    lines = [override.input_line or "" for override in overrides if not override.is_hydra_override()]
    of_hydra = [override.input_line or "" for override in overrides if override.is_hydra_override()]
    _fill(cfg.hydra.overrides.task, lines)
    _fill(cfg.hydra.overrides.hydra, [*of_master, *of_hydra])
    cfg.hydra.runtime.cwd = str(Path.cwd())
    with open_dict(cfg.hydra):
        for key in cfg.hydra.job.env_copy:
            cfg.hydra.job.env_set[key] = os.environ[key]


def _fill(node: ListConfig, lines: Sequence[str]) -> None:
    vars(node)["_content"] = [StringNode(line, key=i, parent=node, is_optional=False) for i, line in enumerate(lines)]
