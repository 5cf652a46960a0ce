"""Composes what the trials of a search will compose, and collects everything that is wrong with it."""

from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightsweep.config.suggestions import keys_of, message_of
from lightsweep.config.validation import problems_of
from lightsweep.search.space import Request, SearchSpace

REFUSALS = (CompactHydraException, OmegaConfBaseException, ValueError)  # what Hydra has for a wrong override
ONE_PROCESS_STRATEGIES = ("auto", "single_device")


def composition_faults(request: Request, *, config_loader: ConfigLoader, config: DictConfig) -> list[str]:
    """Compose each choice and each end of a range once; give all faults, each once.

    Where Hydra refuses a value it is left out, which also shows the faults behind the first. That is fast with a
    loader that composes each choice of groups once, and slow with Hydra's own.
    """
    return list(dict.fromkeys(_Composer(request, config_loader=config_loader, config=config).faults()))


def group_names(space: SearchSpace, config_loader: ConfigLoader) -> list[str]:
    """The parameters that choose from a config group, such as `optimizer`."""
    return [n for n in space.distributions if config_loader.get_group_options(n.lstrip("+").split("@")[0])]


class _Composer:
    def __init__(self, request: Request, *, config_loader: ConfigLoader, config: DictConfig) -> None:
        self.space = request.space
        self.fixed = request.fixed
        self.config_loader = config_loader
        self.config = config
        groups = group_names(request.space, config_loader)
        # A setting of Hydra goes with them: whether a trial may have it is checked only in composing.
        self.groups = [n for n in self.space.distributions if n in groups or n.lstrip("+").startswith("hydra.")]
        self.values = [name for name in self.space.distributions if name not in self.groups]
        self.refused: set[tuple[str, ...]] = set()  # a parameter with the groups that it was refused with
        self.told: set[str] = set()

    def faults(self) -> Iterator[str]:
        samples: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for sample in self.space.samples():
            samples.setdefault(tuple(self._overrides(sample, self.groups)), []).append(sample)
        for groups, alike in samples.items():
            accepted, faults = self._accepted(groups)
            yield from faults
            if accepted is None:
                continue
            for sample in alike:
                yield from self._faults_of_values(accepted, sample)

    def _overrides(self, sample: dict[str, Any], names: Sequence[str]) -> list[str]:
        return self.space.to_overrides({name: sample[name] for name in names if name in sample})

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        return self.config_loader.load_sweep_config(self.config, [*self.fixed, *overrides])

    def _accepted(self, groups: Sequence[str]) -> tuple[Sequence[str] | None, list[str]]:
        """Compose these choices; where that can't be done, find out which are at fault and go on without them."""
        try:
            self._compose(groups)
        except REFUSALS as error:
            told = self._told(error, ", ".join(groups))
        else:
            return groups, []
        if not groups:
            return None, [told]
        if len(groups) == 1:
            return self._accepted([])[0], [told]
        faults = {group: self._accepted([group])[1] for group in groups}
        good = [group for group in groups if not faults[group]]
        if len(good) == len(groups):
            return None, [told]
        return self._accepted(good)[0], [fault for group in groups for fault in faults[group]]

    def _told(self, error: Exception, override: str) -> str:
        text = message_of(error, known_keys=lambda: keys_of(self.config))
        return text if isinstance(error, CompactHydraException) or not override else f"{override}: {text}"

    def _faults_of_values(self, groups: Sequence[str], sample: dict[str, Any]) -> Iterator[str]:
        names = [n for n in self.values if n in sample and (n, *groups) not in self.refused]
        try:
            cfg = self._compose([*groups, *self._overrides(sample, names)])
        except REFUSALS:
            yield from self._refusals(groups, sample, names)
            names = [name for name in names if (name, *groups) not in self.refused]
            cfg = self._compose([*groups, *self._overrides(sample, names)])
        for name in names:
            yield from self._changed_on_the_way(cfg, name, sample[name])
        yield from problems_of(cfg)
        yield from _more_than_one_process(cfg)

    def _refusals(self, groups: Sequence[str], sample: dict[str, Any], names: Sequence[str]) -> Iterator[str]:
        """Set the values one by one, without those that are refused."""
        overrides = list(groups)
        for name in names:
            [override] = self._overrides(sample, [name])
            try:
                self._compose([*overrides, override])
                overrides.append(override)
            except REFUSALS as error:
                if name not in self.told:  # what is wrong with one value mostly is with the others
                    yield self._told(error, override)
                self.told.add(name)
                self.refused.add((name, *groups))

    def _changed_on_the_way(self, cfg: DictConfig, name: str, value: Any) -> Iterator[str]:
        [override] = self.space.to_overrides({name: value})
        meant = self.space.meant(name, value)
        if "${" in override:
            return  # it stands for another value
        there = OmegaConf.select(cfg, name.lstrip("+"))
        if OmegaConf.is_config(there):
            there = OmegaConf.to_container(there)
        if not _is_same(meant, there):
            yield (
                f"the search space of {name}: {override} reaches a trial as {_with_type(there)} and not as"
                f" {_with_type(meant)}. Another parameter of the space sets the same key, or the config says which"
                " type it has; change either."
            )


def _is_same(meant: Any, there: Any) -> bool:
    """Whether two plain values are equal, types included; a mapping may have got more keys, Hydra merges it in."""
    if type(meant) is not type(there):
        return False
    if isinstance(meant, dict):
        return all(key in there and _is_same(value, there[key]) for key, value in meant.items())
    if isinstance(meant, list):
        return len(meant) == len(there) and all(map(_is_same, meant, there))
    return bool(meant == there)


def _with_type(value: Any) -> str:
    return f"{value!r} ({type(value).__name__})"


def _more_than_one_process(cfg: DictConfig) -> Sequence[str]:
    strategy = OmegaConf.select(cfg, "trainer.strategy", default="auto")
    devices = OmegaConf.select(cfg, "trainer.devices", default=1)
    n_nodes = OmegaConf.select(cfg, "trainer.num_nodes", default=1)
    one_device = devices in (1, "1", "auto") or (isinstance(devices, ListConfig) and len(devices) == 1)
    if strategy in ONE_PROCESS_STRATEGIES and one_device and n_nodes == 1:
        return []
    return [
        f"trainer.strategy is '{strategy}' with trainer.devices={devices}: a trial that trains in several processes"
        " would start the whole search again in each of them. Use trainer.strategy=auto trainer.devices=1;"
        " to use more devices run more trials at a time (hydra/launcher=processes hydra.sweeper.n_jobs=2)."
    ]
