"""The search and the trial of the running job, read from Hydra's config."""

import os
from collections.abc import Collection
from pathlib import Path

import optuna
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lightsweep.storage.storage import open_storage, storage_url
from lightsweep.sweeper.config import SWEEPER_TARGET
from lightsweep.trial.driver import is_worker, owner_here
from lightsweep.trial.identity import DEVICE, OWNER
from lightsweep.trial.pruner import build_pruner
from lightsweep.unofficial import trial_of

CONFIRM = "confirm"  # the folder of the runs that confirm the best trials, and the end of their study's name


def confirm_study_of(name: str) -> str:
    """Return the name of the study whose trials are the runs that confirm those of the study `name`."""
    return f"{name}-{CONFIRM}"


def is_confirm_study(name: str, names: Collection[str]) -> bool:
    """True if a study of these holds the runs that confirm the trials of another one."""
    return any(name == confirm_study_of(other) for other in names)


def is_confirming() -> bool:
    """True if this job of a search is a run that confirms one of its trials. Hydra tells it by the folder alone."""
    return Path(HydraConfig.get().sweep.subdir).parts[:1] == (CONFIRM,)


def folder_of_search() -> Path | None:
    """Return the folder of the search that this job belongs to, None outside a search."""
    if not HydraConfig.initialized():
        return None
    hydra_cfg = HydraConfig.get()
    is_ours = hydra_cfg.mode == RunMode.MULTIRUN and hydra_cfg.sweeper.get("_target_") == SWEEPER_TARGET
    return Path(hydra_cfg.sweep.dir) if is_ours else None


def in_search() -> bool:
    return folder_of_search() is not None


def pruner_settings() -> DictConfig:
    """Return the config node of the search's pruner, an empty one outside a search."""
    return HydraConfig.get().sweeper.pruner if in_search() else OmegaConf.create()


def audited_share() -> float:
    """Return the share of the trials that would be pruned which run to the end; 0 outside a search."""
    return float(HydraConfig.get().sweeper.get("audit") or 0.0) if in_search() else 0.0


def current_study() -> optuna.Study | None:
    """Return the study of this job's search, None outside a search.

    The study has the search's pruner, because a loaded study has Optuna's default, and a sampler that is never asked,
    because the sweeper has sampled already. A run that confirms a trial is one of another study, and is not pruned.
    """
    if not in_search() or OmegaConf.is_missing(HydraConfig.get().job, "num"):
        return None
    hydra_cfg = HydraConfig.get()
    sweeper = hydra_cfg.sweeper
    confirming = is_confirming()
    return optuna.load_study(
        study_name=confirm_study_of(sweeper.study_name) if confirming else sweeper.study_name,
        storage=open_storage(storage_url(sweeper.storage, sweep_dir=hydra_cfg.sweep.dir, cwd=hydra_cfg.runtime.cwd)),
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.NopPruner() if confirming else build_pruner(sweeper.pruner),
    )


def job_trial() -> optuna.Trial | None:
    """Return the trial that this job runs, None outside a search. The number of the job is that of the trial."""
    study = current_study()
    return None if study is None else trial_of(study, HydraConfig.get().job.num)


def current_trial(*, device: str, index: int | None) -> optuna.Trial | None:
    """Return the trial of `job_trial`, and record on it which process runs it, and on which device.

    That is torch's type and index of it.
    """
    trial = job_trial()
    if trial is None:
        return None
    if is_worker():
        trial.set_user_attr(OWNER, owner_here().to_record())
    trial.set_user_attr(DEVICE, device_name(device, index=index))
    return trial


def device_name(device: str, *, index: int | None) -> str:
    """Return `cpu`, or a name such as `cuda:1`, with the GPU's entry in CUDA_VISIBLE_DEVICES in place of its index."""
    if index is None or device == "cpu":
        return device
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") if device == "cuda" else None
    return f"{device}:{visible.split(',')[index].strip() if visible else index}"
