"""The plugin that Hydra finds. Hydra imports this module at every start, so it imports nothing heavy."""

from typing import Any

from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
from omegaconf import DictConfig

from lightsweep.sweeper import config as config


class LightsweepSweeper(OptunaSweeper):
    """hydra-optuna-sweeper with a pruner, resume, and no waiting for the slowest trial of a batch.

    `python train.py -m hparams_search=mlp`; the work is in `search.py`.
    """

    def __init__(self, **settings: Any) -> None:
        # Without `super().__init__`, which builds the sampler and the loop that `setup` replaces: the sampler of a
        # search depends on its space and on the trials that the study has, and all faults are told at once.
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from lightsweep.sweeper.search import Search

        self.search = Search(self.settings, config=config, hydra_context=hydra_context, task_function=task_function)

    def sweep(self, arguments: list[str]) -> None:
        self.search.run(arguments)
