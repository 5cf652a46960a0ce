"""Compose the configs that trials will get, and collect all problems with them."""

from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightsweep.config.resampling import KFOLD, n_folds_to_train, search_problems_of
from lightsweep.config.suggestions import keys_of, message_of
from lightsweep.config.validation import problems_of
from lightsweep.preflight.comparable import compared_values, comparison_problems
from lightsweep.search.request import Request
from lightsweep.search.space import group_names
from lightsweep.trial.pruner import PRUNER_OF_FOLDS

OVERRIDE_ERRORS = (CompactHydraException, OmegaConfBaseException, ValueError)  # Hydra's errors for a wrong override
ONE_PROCESS_STRATEGIES = ("auto", "single_device")


def config_problems(request: Request, *, config_loader: ConfigLoader, config: DictConfig) -> list[str]:
    """Return the problems of the configs with each choice and both ends of each range, each problem once.

    A value that Hydra rejects is left out, so that the problems of other values are found, too. This is slow unless
    the loader caches the composition of config groups.
    """
    return list(dict.fromkeys(_ConfigChecker(request, config_loader=config_loader, config=config).problems()))


class _ConfigChecker:
    def __init__(self, request: Request, *, config_loader: ConfigLoader, config: DictConfig) -> None:
        self.space = request.space
        self.fixed = request.fixed
        self.config_loader = config_loader
        self.config = config
        names = group_names(request.space, config_loader)
        # Hydra's settings count as groups, because Hydra checks only during composition whether a job may set them.
        self.groups = [n for n in self.space.distributions if n in names or n.lstrip("+").startswith("hydra.")]
        self.values = [name for name in self.space.distributions if name not in self.groups]
        self.rejected: set[tuple[str, ...]] = set()  # a parameter together with the choice of groups
        self.reported: set[str] = set()  # parameters; if one value is rejected, most are for the same reason
        self.compared: list[dict[str, str]] = []  # of each config, what must not differ

    def problems(self) -> Iterator[str]:
        samples: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for sample in self.space.samples():
            samples.setdefault(tuple(self._overrides(sample, self.groups)), []).append(sample)
        for groups, same_groups in samples.items():
            accepted, problems = self._accepted(groups)
            yield from problems
            if accepted is None:
                continue
            for sample in same_groups:
                yield from self._value_problems(accepted, sample)
        yield from comparison_problems(self.compared)

    def _overrides(self, sample: dict[str, Any], names: Sequence[str]) -> list[str]:
        return self.space.to_overrides({name: sample[name] for name in names if name in sample})

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        return self.config_loader.load_sweep_config(self.config, [*self.fixed, *overrides])

    def _message(self, error: Exception, override: str) -> str:
        text = message_of(error, known_keys=lambda: keys_of(self.config))
        return text if isinstance(error, CompactHydraException) or not override else f"{override}: {text}"

    def _accepted(self, groups: Sequence[str]) -> tuple[Sequence[str] | None, list[str]]:
        """Return the choices of groups that Hydra accepts, None if it accepts no config, and the problems."""
        try:
            self._compose(groups)
        except OVERRIDE_ERRORS as error:
            message = self._message(error, ", ".join(groups))
        else:
            return groups, []
        if not groups:
            return None, [message]
        if len(groups) == 1:
            return self._accepted([])[0], [message]
        problems = {group: self._accepted([group])[1] for group in groups}
        valid = [group for group in groups if not problems[group]]
        if len(valid) == len(groups):  # only the combination is invalid
            return None, [message]
        return self._accepted(valid)[0], [problem for group in groups for problem in problems[group]]

    def _value_problems(self, groups: Sequence[str], sample: dict[str, Any]) -> Iterator[str]:
        names = [name for name in self.values if name in sample and (name, *groups) not in self.rejected]
        try:
            cfg = self._compose([*groups, *self._overrides(sample, names)])
        except OVERRIDE_ERRORS:
            yield from self._rejections(groups, sample, names)
            names = [name for name in names if (name, *groups) not in self.rejected]
            cfg = self._compose([*groups, *self._overrides(sample, names)])
        for name in names:
            yield from self._changed_value(cfg, name, sample[name])
        searched = tuple(f"{name.lstrip('+')} is " for name in self.values)
        for problem in problems_of(cfg):
            yield f"the search space: {problem}" if problem.startswith(searched) else problem
        yield from search_problems_of(cfg)
        yield from _several_processes(cfg)
        yield from steps_of_pruner(cfg)
        self.compared.append(compared_values(cfg))

    def _rejections(self, groups: Sequence[str], sample: dict[str, Any], names: Sequence[str]) -> Iterator[str]:
        """Set the values one by one to find those that Hydra rejects."""
        overrides = list(groups)
        for name in names:
            [override] = self._overrides(sample, [name])
            try:
                self._compose([*overrides, override])
                overrides.append(override)
            except OVERRIDE_ERRORS as error:
                if name not in self.reported:
                    yield self._message(error, override)
                self.reported.add(name)
                self.rejected.add((name, *groups))

    def _changed_value(self, cfg: DictConfig, name: str, value: Any) -> Iterator[str]:
        [override] = self.space.to_overrides({name: value})
        if "${" in override:
            return  # an interpolation has the value of another key
        expected = self.space.job_value(name, value)
        actual = OmegaConf.select(cfg, name.lstrip("+"))
        if OmegaConf.is_config(actual):
            actual = OmegaConf.to_container(actual)
        if not _is_same(expected, actual):
            yield (
                f"the search space of {name}: {override} reaches a trial as {_with_type(actual)} and not as"
                f" {_with_type(expected)}. Another parameter of the space sets the same key, or the config declares"
                " another type; change one of them."
            )


def _is_same(expected: Any, actual: Any) -> bool:
    """True if two values and their types are equal. `actual` mappings may have more keys, because Hydra merges them."""
    if type(expected) is not type(actual):
        return False
    if isinstance(expected, dict):
        return all(key in actual and _is_same(value, actual[key]) for key, value in expected.items())
    if isinstance(expected, list):
        return len(expected) == len(actual) and all(map(_is_same, expected, actual))
    return bool(expected == actual)


def _with_type(value: Any) -> str:
    return f"{value!r} ({type(value).__name__})"


def steps_of_pruner(cfg: DictConfig) -> list[str]:
    """Return the problem if the pruner compares folds, but steps are epochs, or counts more folds than there are."""
    pruner, n_folds = OmegaConf.select(cfg, "hydra.sweeper.pruner"), n_folds_to_train(cfg)
    highest = pruner.get("max_resource")
    if n_folds > 1 and isinstance(highest, int) and highest > n_folds:
        return [
            f"hydra.sweeper.pruner.max_resource is {highest}, but with data.resampling={KFOLD} a step is a fold, and"
            f" there are {n_folds}. Set hydra.sweeper.pruner.max_resource={n_folds}, or choose another pruner."
        ]
    resampling = OmegaConf.select(cfg, "data.resampling", default="holdout")
    if pruner.get("_target_") != PRUNER_OF_FOLDS or resampling == KFOLD:
        return []
    return [
        f"hydra.sweeper.pruner is a WilcoxonPruner, which compares trials fold by fold, but data.resampling is"
        f" {resampling}, whose steps are epochs. Set data.resampling=kfold, or choose another pruner:"
        " hydra/sweeper/pruner=median."
    ]


def _several_processes(cfg: DictConfig) -> list[str]:
    strategy = OmegaConf.select(cfg, "trainer.strategy", default="auto")
    devices = OmegaConf.select(cfg, "trainer.devices", default=1)
    n_nodes = OmegaConf.select(cfg, "trainer.num_nodes", default=1)
    one_device = devices in (1, "1", "auto") or (isinstance(devices, ListConfig) and len(devices) == 1)
    if strategy in ONE_PROCESS_STRATEGIES and one_device and n_nodes == 1:
        return []
    return [
        f"trainer.strategy is '{strategy}' with trainer.devices={devices}: a trial that trains in several processes"
        " would start the whole search again in each of them. Use trainer.strategy=auto trainer.devices=1;"
        " to use several devices, run several trials at a time (gpus=auto)."
    ]
