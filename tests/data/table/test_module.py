"""The data module of tables: inferred columns, the overview, files of each format, and prepared data that is shared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra.utils
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from omegaconf import DictConfig

from lightsweep.config.instantiate import build
from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.data.table import module
from lightsweep.errors import ConfigError
from lightsweep.task import Task
from tests.data.table.tables import OTHER_TARGETS, WRITERS, mixed, table, write_numbered


@pytest.mark.parametrize("name", WRITERS)
def test_every_file_format_gives_the_same_tensors(name: str, tmp_path: Path) -> None:
    frame = mixed(100)
    WRITERS["a.csv"](frame, tmp_path / "reference.csv")
    WRITERS[name](frame, tmp_path / name)
    settings: dict[str, Any] = {"drop": OTHER_TARGETS, "kinds": {"zip": "category"}, "one_hot_up_to": 4}
    expected, found = (table(tmp_path, path, **settings) for path in ("reference.csv", name))
    assert found.cardinalities == expected.cardinalities != ()
    torch.testing.assert_close(found.splits.train[0], expected.splits.train[0])
    assert torch.equal(found.splits.test[1], expected.splits.test[1])


def test_kinds_are_inferred_and_shown_once_per_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = mixed().assign(id=[f"row {i}" for i in range(400)], **{f"e{i}": None for i in range(8)})
    frame.loc[[3, 5], "y"] = None
    frame.to_csv(tmp_path / "a.csv", index=False)
    settings: dict[str, Any] = {"drop": OTHER_TARGETS, "kinds": {"zip": "category"}}
    data = table(tmp_path, **settings)
    x, y = data.splits.train
    assert (data.task, list(data.classes), data.targets, data.d_out) == (Task.BINARY, ["No", "Yes"], ("y",), 2)
    assert data.cardinalities == (31, 41)  # cities and zips, and one code each for unseen levels
    assert (data.d_in, x.dtype, y.dtype) == (x.shape[1], torch.float32, torch.int64)
    assert torch.isfinite(x).all()
    overview = capsys.readouterr().err
    for line in (
        "398 rows (256 train, 63 val, 79 test), 21 features",
        "target    y, binary: No 74%, Yes 26%",
        "number    age (18.2% missing), visits",
        "category  plan (",
        "boolean   vip (",
        "date      since (",
        "left out  e0, e1, e2, e3, e4 and 3 more: all cells are missing",
        "left out  id: row identifiers: most cells are unique",
        "note      zip: category, some values have leading zeros",
        "note      2 rows whose target is missing are left out",
    ):
        assert line in overview
    _ = table(tmp_path, **settings, batch_size=7).splits
    assert capsys.readouterr().err == ""
    module._show_overview_once.cache_clear()  # as in another process
    _ = table(tmp_path, **settings).splits
    assert capsys.readouterr().err == overview


@pytest.mark.parametrize("is_worker", [True, False])
@pytest.mark.parametrize(("in_search", "n_shown"), [(True, 1), (False, 2)])
def test_the_refit_of_a_search_does_not_repeat_the_overview(
    is_worker: bool,
    in_search: bool,
    n_shown: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "is_worker", lambda: is_worker)
    monkeypatch.setattr(module, "in_search", lambda: in_search)
    write_numbered(tmp_path)
    for refit in (False, True):
        _ = table(tmp_path, refit=refit).splits
    assert capsys.readouterr().err.count("100 rows") == n_shown


def test_the_overview_counts_missing_cells_of_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = [-999.0, 1.5, 2.5, 3.5] * 25
    write_numbered(tmp_path, n=numbers, k=numbers)
    pd.read_csv(tmp_path / "a.csv").assign(n=None).to_csv(tmp_path / "b.csv", index=False)
    _ = table(tmp_path, test_path="b.csv", missing=[-999], kinds={"k": "category"}).splits
    overview = capsys.readouterr().err
    for line in ("b.csv: 200 rows", "n (62.5% missing)", "category  k (25.0% missing)"):
        assert line in overview


def test_row_numbers_are_left_out_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = mixed(100)[["age", "y"]].assign(customer_id=np.arange(500, 600), year=np.arange(2000, 2100))
    frame.to_csv(tmp_path / "a.csv")
    assert table(tmp_path).preprocessing.features == ["age", "year", "missingindicator_age"]  # type: ignore[attr-defined]
    overview = capsys.readouterr().err
    assert "  left out  a column without a name: assumed to be a saved index\n" in overview
    assert "  left out  customer_id: row numbers" in overview
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "shuffled.csv", index=False)
    for data in (table(tmp_path, kinds={"customer_id": "number"}), table(tmp_path, "shuffled.csv")):
        assert "customer_id" in data.preprocessing.features  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["table", "arrays"])
def test_the_shipped_config_needs_only_path_and_target(
    kind: str, tmp_path: Path, composed: Callable[..., DictConfig]
) -> None:
    pd.DataFrame({"x": range(50), "y": ["a", "b"] * 25}).to_csv(tmp_path / "a.csv", index=False)
    np.savez(tmp_path / "a.npz", x=np.arange(100.0).reshape(50, 2), y=np.arange(50) % 2)
    given = {"table": ["data.path=a.csv", "data.target=y"], "arrays": ["data.path=a.npz"]}
    cfg = composed(f"data={kind}", *given[kind], f"data.relative_to={tmp_path}")
    with hydra.utils.execution_whitelist(ALLOWED_TARGETS):
        data = build(cfg.data, "data")
    assert (data.d_out, len(data.splits.test[0])) == (2, 10)
    assert list((tmp_path / "outputs" / "cache").glob("a-*")) == [data.folder]


def test_preparation_in_small_blocks_gives_the_same_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed(100).to_csv(tmp_path / "a.csv", index=False)
    whole = table(tmp_path, drop=OTHER_TARGETS).splits
    monkeypatch.setattr("lightsweep.data.table.preprocessing.VALUES_PER_BLOCK", 60)
    monkeypatch.setattr("lightsweep.data.reading.text.BLOCK_BYTES", 1000)
    blocks = table(tmp_path, drop=OTHER_TARGETS, cache="blocks").splits
    for one, other in zip((*whole.train, *whole.test), (*blocks.train, *blocks.test), strict=True):
        assert torch.equal(one, other)


def test_a_sample_of_the_rows_is_fitted_but_all_levels_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed(missing=0).to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.setattr("lightsweep.data.table.preparing.ROWS_TO_FIT", 60)
    data = table(tmp_path, drop=OTHER_TARGETS)
    assert data.cardinalities == (31, 41)
    mean = data.splits.train[0][:, 0].mean().item()
    assert mean != pytest.approx(0, abs=1e-6)
    assert mean == pytest.approx(0, abs=0.5)


def test_trials_share_prepared_data_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_numbered(tmp_path)
    first = table(tmp_path)
    x = first.splits.train[0]
    assert table(tmp_path, batch_size=3).splits.train[0].data_ptr() == x.data_ptr()
    with monkeypatch.context() as patched:
        patched.setattr(module, "prepare", None)
        assert table(tmp_path, shuffle=False).folder == first.folder
    assert table(tmp_path, scale="quantile").folder != first.folder
    write_numbered(tmp_path, more=range(100))
    assert table(tmp_path).d_in == 2


def test_changed_tensors_do_not_change_the_mapped_files(tmp_path: Path) -> None:
    write_numbered(tmp_path)
    data = table(tmp_path)
    before = (data.folder / "x_train.npy").read_bytes()
    data.splits.train[0].zero_()
    assert (data.folder / "x_train.npy").read_bytes() == before


def test_an_absent_file_of_prepared_data_is_named(tmp_path: Path) -> None:
    write_numbered(tmp_path)
    (table(tmp_path).folder / "y_train.npy").unlink()
    with pytest.raises(ConfigError, match=r"lacks y_train\.npy\. Delete that folder"):
        _ = table(tmp_path).splits


def test_quantiles_are_the_edges_of_bins_with_equally_many_rows(tmp_path: Path) -> None:
    mixed(missing=0).to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path, drop=OTHER_TARGETS)
    edges = data.quantiles(4)
    assert data.n_numbers == 2 + 3 + 4  # age and visits, and the parts of two dates
    assert edges.shape == (data.n_numbers, 5)
    assert (edges.diff(dim=1) >= 0).all()
    inside = (data.splits.train[0][:, :1] < edges[0, 1:-1]).float().mean(dim=0)
    torch.testing.assert_close(inside, torch.tensor([0.25, 0.5, 0.75]), atol=0.02, rtol=0)


def test_texts_may_be_string_views(tmp_path: Path) -> None:
    texts = {name: pa.array(levels * 20).cast(pa.string_view()) for name, levels in (("c", [*"uvw"]), ("y", [*"abc"]))}
    frame = pa.table({"x": range(60), **texts})
    with pa.ipc.new_file(tmp_path / "a.feather", frame.schema) as file:
        file.write_table(frame)
    data = table(tmp_path, "a.feather", missing=["u"])
    assert data.preprocessing.features == ["x", "c_", "c_v", "c_w"]  # type: ignore[attr-defined]
