"""Which settings of `data` draw another validation split, and with which others they make no sense."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

HOLDOUT = "holdout"
RESHUFFLE = "reshuffle"
KFOLD = "kfold"
WAYS = (HOLDOUT, RESHUFFLE, KFOLD)
FIRST_SPLIT = {"val_seed": None, "fold": None, "resampling": HOLDOUT}  # the values that keep the first split
FIXED_SPLITS = ("time", "column")


def resampling_problems(settings: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the keys of `data` together; values that are wrong by themselves are not judged."""
    fold, n_folds = settings.get("fold"), settings.get("n_folds")
    if isinstance(fold, int) and isinstance(n_folds, int) and fold >= n_folds >= 2:
        yield (
            f"data.fold is {fold}, but data.n_folds is {n_folds}. Set data.fold to a number from 0 to {n_folds - 1}, or"
            f" data.n_folds to more than {fold}."
        )
    if settings.get("resampling") == KFOLD and fold is not None:
        yield (
            f"data.fold is {fold}, but data.resampling={KFOLD} trains all folds. Set data.fold=null, or"
            f" data.resampling={HOLDOUT}."
        )
    changed = [key for key, first in FIRST_SPLIT.items() if settings.get(key, first) != first]
    if not changed:
        return
    given = " and ".join(f"data.{key} is {settings[key]}" for key in changed)
    back = " ".join(f"data.{key}={FIRST_SPLIT[key] or 'null'}" for key in changed)
    if settings.get("val_path") is not None:
        yield (
            f"{given}, but data.val_path gives the validation rows, so there is no other split. Set {back}, or leave"
            " out data.val_path."
        )
    elif settings.get("split") in FIXED_SPLITS:
        yield (
            f"{given}, but with data.split={settings['split']} there is no other split. Set {back}, or"
            " data.split=random, group or stratified."
        )


def resampling_problems_of(cfg: DictConfig) -> Iterator[str]:
    """Yield the problems of a config whose data module is one of Lightsweep."""
    if _is_ours(cfg):
        yield from resampling_problems(_settings(cfg))


def search_problems_of(cfg: DictConfig) -> Iterator[str]:
    """Yield what is wrong only in a search, whose trials `data.resampling` gives their seeds."""
    if is_reshuffled(cfg) and (val_seed := _settings(cfg).get("val_seed")) is not None:
        yield (
            f"data.val_seed is {val_seed}, but data.resampling={RESHUFFLE} gives each trial a seed of its own. Leave"
            " out one of them."
        )


def is_reshuffled(cfg: DictConfig) -> bool:
    """True if each trial of a search is to have a validation split of its own."""
    return _is_ours(cfg) and _settings(cfg).get("resampling") == RESHUFFLE


def n_folds_to_train(cfg: DictConfig) -> int:
    """Return how many models one training of this config fits: with `kfold` one on each fold, else one."""
    settings = _settings(cfg) if _is_ours(cfg) else {}
    return int(settings.get("n_folds", 5)) if settings.get("resampling") == KFOLD else 1


def settings_of_fold(fold: int) -> dict[str, Any]:
    """Return the values of `data` with which one fold is trained alone."""
    return {"resampling": HOLDOUT, "fold": fold}


def fold_folder(folder: Path, fold: int) -> Path:
    """Return the folder of one fold in the folder of a training."""
    return folder / f"fold_{fold}"


def fold_folders(folder: Path) -> list[Path]:
    """Return the folders of the folds that a training has begun, in their order."""
    found = [path for path in folder.glob("fold_*") if re.fullmatch(r"fold_\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("fold_")))


def can_resample(cfg: DictConfig) -> bool:
    """True if `data.val_seed` draws other validation rows."""
    return _is_ours(cfg) and not any(resampling_problems({**_settings(cfg), "val_seed": 0}))


def val_seed_of_trial(number: int) -> int:
    return number + 1


def _is_ours(cfg: DictConfig) -> bool:
    return str(OmegaConf.select(cfg, "data._target_")).startswith("lightsweep.")


def _settings(cfg: DictConfig) -> dict[str, Any]:
    """Return the values that are known; others are reported elsewhere."""
    keys = (*FIRST_SPLIT, "n_folds", "val_path", "split")
    found = {}
    for key in keys:
        try:
            found[key] = OmegaConf.select(cfg, f"data.{key}")
        except OmegaConfBaseException:
            continue
    return {key: value for key, value in found.items() if value is not None}
