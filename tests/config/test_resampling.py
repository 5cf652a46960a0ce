"""Which searches give each trial validation rows of its own."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from lightsweep.config.resampling import (
    fold_folders,
    is_reshuffled,
    n_folds_to_train,
    resampling_problems_of,
    search_problems_of,
)
from tests.conftest import Compose

OURS = "lightsweep.data.table.module.TableDataModule"


@pytest.mark.parametrize(
    ("data", "is_so"),
    [
        ({"_target_": OURS, "resampling": "reshuffle"}, True),
        ({"_target_": OURS, "resampling": "holdout"}, False),
        ({"_target_": OURS}, False),  # a config of an earlier version
        ({"_target_": "mine.Data", "resampling": "reshuffle"}, False),
        ({"_target_": OURS, "resampling": "${nowhere}"}, False),
        ({}, False),
    ],
)
def test_only_our_data_modules_are_reshuffled(data: dict[str, Any], is_so: bool) -> None:
    assert is_reshuffled(OmegaConf.create({"data": data})) is is_so


@pytest.mark.parametrize(
    ("data", "n_folds"),
    [
        ({"_target_": OURS, "resampling": "kfold", "n_folds": 3}, 3),
        ({"_target_": OURS, "resampling": "kfold"}, 5),
        ({"_target_": OURS, "resampling": "holdout", "n_folds": 3}, 1),
        ({"_target_": "mine.Data", "resampling": "kfold", "n_folds": 3}, 1),
        ({}, 1),
    ],
)
def test_a_training_has_folds_only_with_kfold(data: dict[str, Any], n_folds: int) -> None:
    assert n_folds_to_train(OmegaConf.create({"data": data})) == n_folds


def test_the_folders_of_folds_are_in_their_order(tmp_path: Path) -> None:
    for name in ("fold_10", "fold_9", "fold_x", "fold_1a", "best"):
        (tmp_path / name).mkdir()
    assert fold_folders(tmp_path) == [tmp_path / "fold_9", tmp_path / "fold_10"]


@pytest.mark.parametrize("target", ["mine.Data", None])
def test_the_keys_of_the_users_own_data_module_may_mean_something_else(target: str | None) -> None:
    cfg = OmegaConf.create({"data": {"_target_": target, "fold": 9, "n_folds": 3, "val_seed": 1, "split": "time"}})
    assert [*resampling_problems_of(cfg), *search_problems_of(cfg)] == []


def test_a_config_of_an_earlier_version_has_no_problem(composed: Compose) -> None:
    cfg = OmegaConf.create({"data": {"_target_": OURS, "split": "time", "val_path": "b.csv"}})
    assert [*resampling_problems_of(cfg), *search_problems_of(cfg)] == []
    assert [*resampling_problems_of(composed()), *search_problems_of(composed())] == []
