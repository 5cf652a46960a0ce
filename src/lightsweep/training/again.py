"""A training that was recorded in a folder, run again outside of its search, and the likely causes of a difference."""

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra.utils
from hydra.conf import ConfigSourceInfo, HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from lightsweep.config.targets import ALLOWED_TARGETS, check_user_targets
from lightsweep.config.validation import check_config
from lightsweep.errors import USER_ERRORS, ConfigError
from lightsweep.files import write_atomically
from lightsweep.training.environment import CONFIG_FILE
from lightsweep.training.fit import RESULT, save_failure
from lightsweep.training.recorded import HYDRA_FILE, Recorded
from lightsweep.training.train import train

CSV_LOGGER = {
    "_target_": "lightsweep.logger.csv.CSVLogger",
    "save_dir": "${hydra:runtime.output_dir}",
    "name": "csv",
    "version": "",
}
MAX_THREADS = 4096


def train_again(recorded: Recorded, output: Path, *, changes: Sequence[str] = ()) -> Recorded:
    """Run the training with the recorded config, seed and number of threads, and return what the new folder records.

    It reports to no study, and stops after the recorded number of epochs. `changes` are values of the config, such as
    `seed=7`. The config may come from anywhere: only targets of the allowlist are called. Raises `ConfigError` if the
    training can't start, or the recorded model is not its own.
    """
    check_user_targets()
    if recorded.outcome.refit_failed:
        raise ConfigError(
            f"{recorded.folder}: its refit failed ({recorded.outcome.refit_failed}), so the model is that of the best"
            " trial. Reproduce the folder of that trial."
        )
    cfg = config_again(recorded, changes=changes)
    with _as_job(cfg, recorded, output=output), contextlib.redirect_stdout(io.StringIO()):
        check_config(cfg)
        _train(cfg, output)
    return Recorded.read(output)


def config_again(recorded: Recorded, *, changes: Sequence[str]) -> DictConfig:
    """Return the recorded config with the recorded device and threads, with the CSV file as its only logger."""
    cfg = recorded.cfg.copy()
    environment = recorded.environment or {}
    with open_dict(cfg):
        cfg.verbose, cfg.export, cfg.logger = False, [], {"csv": CSV_LOGGER}
        if _is_count(threads := environment.get("threads")):
            cfg.threads = threads
        if environment.get("device") == "cpu":
            OmegaConf.update(cfg, "trainer.accelerator", "cpu")
        if OmegaConf.select(cfg, "trainer.max_time") is not None:
            cfg.trainer.max_time = None  # the number of epochs is known
        n_epochs, max_epochs = recorded.n_epochs, OmegaConf.select(cfg, "trainer.max_epochs")
        if n_epochs is not None and n_epochs != max_epochs:
            node = {"_target_": "lightsweep.callbacks.last_epoch.LastEpoch", "n_epochs": n_epochs}
            OmegaConf.update(cfg, "callbacks.last_epoch", node)
    for change in changes:
        _change(cfg, change)
    return cfg


def _change(cfg: DictConfig, change: str) -> None:
    """Set one value, as `key=value` says. Raise `ConfigError` if there is no such key, which may be mistyped."""
    OmegaConf.set_struct(cfg, True)
    try:
        cfg.merge_with_dotlist([change])
    except OmegaConfBaseException as error:
        raise ConfigError(f"{change}: the recorded config has no such key, or it can't be changed.") from error


def _is_count(threads: Any) -> bool:
    return isinstance(threads, int) and 1 <= threads <= MAX_THREADS


@contextlib.contextmanager
def _as_job(cfg: DictConfig, recorded: Recorded, *, output: Path) -> Iterator[None]:
    """Stand in for Hydra: a single run in `output`, with the recorded settings and working directory.

    Nothing of Hydra's own recorded settings is executed.
    """
    instance, here, before = HydraConfig.instance(), Path.cwd(), HydraConfig.instance().cfg
    settings = _hydra_settings(recorded, output=output)
    setup_globals()
    config = OmegaConf.merge({"hydra": settings}, cfg)
    assert isinstance(config, DictConfig)
    instance.set_config(config)
    for name, content in ((CONFIG_FILE, cfg), (HYDRA_FILE, OmegaConf.create({"hydra": settings}))):
        (output / name).parent.mkdir(exist_ok=True)
        write_atomically(output / name, OmegaConf.to_yaml(content))
    os.chdir(output if settings.job.chdir else settings.runtime.cwd)
    try:
        with hydra.utils.execution_whitelist(ALLOWED_TARGETS):
            yield
    finally:
        os.chdir(here)
        instance.cfg = before


def _hydra_settings(recorded: Recorded, *, output: Path) -> DictConfig:
    settings = OmegaConf.structured(HydraConf)
    OmegaConf.set_struct(settings, False)
    names = [str(name) for name in recorded.hydra if name != "mode"]
    settings = OmegaConf.merge(settings, OmegaConf.masked_copy(recorded.hydra, names))
    assert isinstance(settings, DictConfig)
    settings.mode = RunMode.RUN
    settings.runtime.output_dir = str(output)
    if not Path(str(settings.runtime.cwd)).is_dir():  # the folder was copied from another machine
        settings.runtime.cwd = str(Path.cwd())
    source = str(_trusted_source(settings))
    settings.runtime.config_sources = [ConfigSourceInfo(path=source, schema="file", provider="main")]
    return settings


def _trusted_source(settings: DictConfig) -> Path:
    """Return the recorded folder of the config if it belongs to this project, else the working directory.

    git will be asked there, and it runs what the config of a repository names.
    """
    sources = [Path(source.path).resolve() for source in settings.runtime.config_sources if source.provider == "main"]
    trusted = (Path.cwd(), Path(__file__).parents[3])  # the second one is the clone, if there is one
    return next((path for path in sources if any(path.is_relative_to(folder) for folder in trusted)), Path.cwd())


def _train(cfg: DictConfig, output: Path) -> None:
    """Train; a training that failed is a result, as in a search."""
    try:
        train(cfg)
    except USER_ERRORS:
        if not (output / RESULT).is_file():
            raise
    except Exception as error:  # noqa: BLE001  (as in a search)
        with contextlib.suppress(ConfigError):
            save_failure(error, cfg)
