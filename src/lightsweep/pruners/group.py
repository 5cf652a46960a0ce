"""The options of the config group `hydra/sweeper/pruner`, read from the folder of the configs."""

import sys
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.pruners import BasePruner

from lightsweep.config.command_line import config_dir_in
from lightsweep.errors import ConfigError
from lightsweep.trial.pruner import PRUNER_OF_FOLDS, build_pruner

GROUP = Path("hydra") / "sweeper" / "pruner"
CHECKOUT = Path(__file__).parents[3]


def options() -> dict[str, Path]:
    """Return the files of the group by option: those of `conf`, then those of the user's `--config-dir`.

    `conf` is beside the program, in the current folder, or in the checkout of Lightsweep. Empty if there is none.
    """
    places = (Path(sys.argv[0]).absolute().parent, Path.cwd(), CHECKOUT)
    conf = next((place / "conf" for place in places if (place / "conf" / GROUP).is_dir()), None)
    given = [Path(argument.partition("=")[2]) for argument in config_dir_in(sys.argv[1:])]
    files: dict[str, Path] = {}
    for path in _files([*([conf] if conf else []), *given]):
        files.setdefault(path.stem, path)  # as Hydra does, which finds the first one
    return files


def _files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((folder / GROUP).glob("*.yaml"))


def build_option(path: Path, *, max_epochs: int) -> BasePruner:
    """Build the pruner of a file. Raise `ConfigError` with the reason if it can't be judged by learning curves."""
    try:
        config = OmegaConf.create({"trainer": {"max_epochs": max_epochs}, "pruner": OmegaConf.load(path)})
        node = config.pruner
        if not isinstance(node, DictConfig):
            raise ConfigError(f"{path} is not a mapping.")
        if node.get("_target_") == PRUNER_OF_FOLDS:
            raise ConfigError("it compares folds, not epochs")
        return build_pruner(node)
    except (OmegaConfBaseException, OSError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
