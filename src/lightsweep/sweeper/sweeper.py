"""The plugin that Hydra finds. Hydra imports this module at every start, so it imports nothing heavy."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lightsweep.sweeper import config as config


class LightsweepSweeper(Sweeper):
    """Searches with Optuna: `python train.py -m hparams_search=mlp`. The work is in `search.py`."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from lightsweep.sweeper.search import Search

        self.search = Search(self.settings, config=config, hydra_context=hydra_context, task_function=task_function)

    def sweep(self, arguments: list[str]) -> None:
        self.search.run(arguments)
