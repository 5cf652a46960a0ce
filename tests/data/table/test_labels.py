"""The target column decides the task, the classes and the scaling."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lightsweep.data.target import Target
from lightsweep.errors import ConfigError
from tests.data.table.tables import WRITERS, mixed, splits_of, table


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["b", "a"], "binary", ("a", "b")),
        (["yes", "no"], "binary", ("no", "yes")),
        (["True", "False"], "binary", (False, True)),
        (["1", "0"], "binary", (0, 1)),
        (["3.0", "1.0", "2.0"], "multiclass", (1, 2, 3)),
        ([str(i) for i in range(20)], "multiclass", tuple(range(20))),
        ([str(i) for i in range(21)], "regression", ()),
        (["0.5", "1"], "regression", ()),
    ],
)
def test_the_task_is_inferred_from_the_target(
    values: list[str], task: str, classes: tuple[Any, ...], tmp_path: Path
) -> None:
    rows = [f"{i},{value}" for i, value in enumerate(values * 12)]
    (tmp_path / "a.csv").write_text("\n".join(["x,y", *rows]))
    data = table(tmp_path)
    assert (data.task, tuple(data.classes)) == (task, classes)


def test_a_given_task_overrides_the_inferred_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["x,y", *(f"{i},{i % 30}" for i in range(300))]))
    assert table(tmp_path, task="multiclass").d_out == 30
    assert table(tmp_path, target=-1, task="regression").d_out == 1


def test_a_class_may_be_a_number_in_one_file_and_a_text_in_another(tmp_path: Path) -> None:
    pd.DataFrame({"x": range(90), "y": [1, 2] * 45}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"x": range(40), "y": ["1", "2"] * 20}).to_parquet(tmp_path / "b.parquet")
    data = table(tmp_path, "a.parquet", val_path="b.parquet")
    assert data.splits.val is not None
    assert (data.classes, data.splits.val[1].tolist()) == (("1", "2"), [0, 1] * 20)


def test_codes_and_dates_are_classes_if_the_settings_say_so(tmp_path: Path) -> None:
    codes, days = [f"{1990 + i % 25}" for i in range(300)], [f"2024-01-{1 + i % 25:02}" for i in range(300)]
    pd.DataFrame({"x": range(300), "code": codes, "day": days}).to_csv(tmp_path / "a.csv", index=False)
    assert table(tmp_path, target="code", kinds={"code": "category"}).d_out == 25
    assert table(tmp_path, target="day", task="multiclass").d_out == 25
    (tmp_path / "b.csv").write_text("x,y\n" + "1,01\n2,1\n" * 20)
    assert list(table(tmp_path, "b.csv", kinds={"y": "category"}).classes) == ["01", "1"]


def test_regression_targets_are_standardized_by_the_training_rows(tmp_path: Path) -> None:
    frame = mixed()
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path, target=["v", "w"], drop=["y"])
    y, scaler = data.splits.train[1], data.target_scaler
    assert scaler is not None
    assert (data.d_out, data.targets, y.dtype, y.shape[1]) == (2, ("v", "w"), torch.float32, 2)
    torch.testing.assert_close(y.mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(dim=0, correction=0), torch.ones(2))
    all_y = torch.cat([split[1] for split in splits_of(data)]).numpy()
    unscaled = np.sort(all_y * scaler.std + scaler.mean, axis=0)
    np.testing.assert_allclose(unscaled, np.sort(frame[["v", "w"]].to_numpy(), axis=0), rtol=1e-4, atol=1e-4)
    assert Target.from_record(data.target.to_record()).to_record() == data.target.to_record()


def test_a_target_far_from_zero_keeps_its_precision(tmp_path: Path) -> None:
    y = 1.6e9 + np.arange(100) / 3
    pd.DataFrame({"x": range(100), "y": y}).to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path)
    scaler = Target.from_record(data.target.to_record()).scaler
    assert scaler is not None
    assert all(np.abs(y - float(one)).min() < 1e-3 for one in scaler.inverse(data.splits.test[1]))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_missing_values_can_be_set_for_targets_and_split_columns(name: str, tmp_path: Path) -> None:
    v = np.where(np.arange(60) % 4 == 0, -999.0, np.arange(60) + 0.5)
    frame = pd.DataFrame({"x": range(60), "y": ["a", "b", "unknown"] * 20, "v": v, "g": range(60)})
    WRITERS[name](frame, tmp_path / name)
    missing = [-999, "unknown"]
    classes = table(tmp_path, name, missing=missing, drop=["v", "g"])
    assert (list(classes.classes), sum(len(split[1]) for split in splits_of(classes))) == (["a", "b"], 40)
    values = table(tmp_path, name, missing=missing, target="v", drop=["y", "g"])
    assert values.target_scaler is not None
    assert (values.target_scaler.mean > 0, sum(len(split[1]) for split in splits_of(values))) == (True, 45)
    grouped = table(tmp_path, name, missing=[7], drop=["v"], split="group", split_by="g")
    with pytest.raises(ConfigError, match=r"column 'g' is missing; data\.split=group needs it"):
        _ = grouped.splits


def test_class_weights_balance_the_classes_and_do_not_exist_for_a_regression(tmp_path: Path) -> None:
    rows = [f"{i},{'a' if i % 4 else 'b'},{i}.5" for i in range(100)]
    (tmp_path / "a.csv").write_text("\n".join(["x,y,v", *rows]))
    assert table(tmp_path).class_weights is None
    weights = table(tmp_path, class_weights="balanced").class_weights
    assert weights == pytest.approx((2 / 3, 2), rel=1e-3)
    regression = table(tmp_path, target="v", class_weights="balanced")
    with pytest.raises(ConfigError, match=r"data\.class_weights is balanced, but the task is regression"):
        _ = regression.class_weights


def test_values_far_outside_are_said_and_a_robust_scale_learns_beside_them(tmp_path: Path) -> None:
    y = np.arange(200) / 7
    y[[3, 60]] = 1e9, -1e9
    pd.DataFrame({"x": range(200), "y": y}).to_csv(tmp_path / "a.csv", index=False)
    standard = table(tmp_path)
    assert "note      y: 1." in (standard.folder / "overview.txt").read_text()
    assert "or set data.target_scale=robust monitor=val/mae" in (standard.folder / "overview.txt").read_text()
    assert standard.splits.train[1].abs().median() < 0.1  # nearly all values are scaled to the same number
    robust = table(tmp_path, target_scale="robust")
    assert "note" not in (robust.folder / "overview.txt").read_text()
    assert robust.splits.train[1].abs().median() > 0.5
    assert robust.splits.train[1].abs().max() <= 20


def test_a_robust_scale_of_a_target_with_one_value_in_most_rows_is_finite(tmp_path: Path) -> None:
    y = [0.0] * 180 + [0.5 * i for i in range(1, 21)]
    pd.DataFrame({"x": range(200), "y": y}).to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path, target_scale="robust")
    assert all(torch.isfinite(split[1]).all() for split in splits_of(data))
