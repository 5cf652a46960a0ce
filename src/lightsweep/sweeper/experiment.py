"""The config of the best trial as an option of the group `experiment`, in the folder of the search."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightsweep.files import write_atomically
from lightsweep.report.summary import EXPERIMENT

OF_A_SEARCH = ("hparams_search", "experiment", "confirm")  # groups
OF_A_RUN = ("hydra", "refit", "export", "verbose", "confirm", "ship")  # keys, which the user of the file chooses


def write_experiment(folder: Path, config: DictConfig, *, trial: int) -> None:
    """Write the groups and values of a trial's config, which `--config-dir <folder> experiment=best` chooses.

    Interpolations stay as they are, so that what is given on the command line reaches them.
    """
    groups = {
        group: option
        for group, option in config.hydra.runtime.choices.items()
        if not str(group).startswith("hydra/") and group not in OF_A_SEARCH
    }
    values: Any = OmegaConf.to_container(config, resolve=False)
    content = {
        "defaults": [{f"override /{group}": option} for group, option in groups.items()],
        **{key: value for key, value in values.items() if key not in OF_A_RUN},
    }
    command = "python train.py --config-dir <folder of the search> experiment=best"
    head = f"# @package _global_\n# Trial {trial}: {command}\n"
    path = folder / EXPERIMENT
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, head + OmegaConf.to_yaml(OmegaConf.create(content)))
