"""Tables in files become tensors: what is found in them, how they are split, scaled, kept and shared."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra.utils
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from omegaconf import DictConfig

from lightsweep.config.instantiate import build
from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.data.saved_preprocessing import load_preprocessing
from lightsweep.data.table import frames
from lightsweep.data.table.cache import made_once
from lightsweep.data.table.reading import place, read_batches, read_frame
from lightsweep.data.target import Target
from lightsweep.errors import ConfigError
from lightsweep.task import Task
from tests.data.table.tables import mixed, table

WRITERS: dict[str, Any] = {
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "a.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "a.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "semicolons.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";"),
    "with_index.csv": lambda frame, path: frame.to_csv(path),
    "bom.csv": lambda frame, path: frame.to_csv(path, index=False, encoding="utf-8-sig"),
    "a.parquet": lambda frame, path: frame.to_parquet(path),
    "a.feather": lambda frame, path: frame.to_feather(path),
}
DROP = ["v", "w"]


def parts(data: Any) -> list[Any]:
    return [part for part in (data.splits.train, data.splits.val, data.splits.test) if part is not None]


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_tensors(name: str, tmp_path: Path) -> None:
    frame = mixed(100)
    WRITERS["a.csv"](frame, tmp_path / "reference.csv")
    WRITERS[name](frame, tmp_path / name)
    expected, found = (
        table(tmp_path, path, drop=DROP, kinds={"zip": "category"}, one_hot_up_to=4) for path in ("reference.csv", name)
    )
    assert found.cardinalities == expected.cardinalities != ()
    torch.testing.assert_close(found.splits.train[0], expected.splits.train[0])
    assert torch.equal(found.splits.test[1], expected.splits.test[1])


def test_the_kinds_of_columns_are_found_and_shown_once_per_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = mixed().assign(id=[f"row {i}" for i in range(400)], **{f"e{i}": None for i in range(8)})
    frame.loc[[3, 5], "y"] = None
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path, drop=DROP, kinds={"zip": "category"})
    x, y = data.splits.train
    assert (data.task, list(data.classes), data.targets, data.d_out) == (Task.BINARY, ["No", "Yes"], ("y",), 2)
    assert data.cardinalities == (31, 41)  # cities and zips, and one for the unseen
    assert (data.d_in, x.dtype, y.dtype) == (x.shape[1], torch.float32, torch.int64)
    assert torch.isfinite(x).all()
    told = capsys.readouterr().err
    for line in (
        "398 rows (256 train, 63 val, 79 test), 21 features",
        "target    y, binary: No 74%, Yes 26%",
        "number    age (18.2% missing), visits",
        "category  plan (",
        "boolean   vip (",
        "date      since (",
        "left out  e0, e1, e2, e3, e4 and 3 more: all missing",
        "left out  id: names the rows",
        "dropped   2 rows whose target is missing",
    ):
        assert line in told
    _ = table(tmp_path, drop=DROP, kinds={"zip": "category"}, batch_size=7).splits
    assert capsys.readouterr().err == ""
    frames._tell_once.cache_clear()  # as in another process
    _ = table(tmp_path, drop=DROP, kinds={"zip": "category"}).splits
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("is_worker", [True, False])
@pytest.mark.parametrize(("in_search", "n_told"), [(True, 1), (False, 2)])
def test_the_refit_of_a_search_does_not_show_them_again(
    is_worker: bool,
    in_search: bool,
    n_told: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frames, "is_worker", lambda: is_worker)
    monkeypatch.setattr(frames, "in_search", lambda: in_search)
    numbered(tmp_path)
    for refit in (False, True):
        _ = table(tmp_path, refit=refit).splits
    assert capsys.readouterr().err.count("100 rows") == n_told


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        (["b", "a"], "binary", ("a", "b")),
        (["yes", "no"], "binary", ("no", "yes")),
        (["True", "False"], "binary", ("False", "True")),
        (["1", "0"], "binary", (0, 1)),
        (["3.0", "1.0", "2.0"], "multiclass", (1, 2, 3)),
        ([str(i) for i in range(20)], "multiclass", tuple(range(20))),
        ([str(i) for i in range(21)], "regression", ()),
        (["0.5", "1"], "regression", ()),
    ],
)
def test_the_task_is_found_from_the_target(
    cells: list[str], task: str, classes: tuple[Any, ...], tmp_path: Path
) -> None:
    rows = [f"{i},{cell}" for i, cell in enumerate(cells * 12)]
    (tmp_path / "a.csv").write_text("\n".join(["x,y", *rows]))
    data = table(tmp_path)
    assert (data.task, tuple(data.classes)) == (task, classes)


@pytest.mark.parametrize("kind", ["table", "arrays"])
def test_the_shipped_config_is_enough_but_for_what_only_the_user_knows(
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


def test_numbers_are_classes_if_the_task_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["x,y", *(f"{i},{i % 30}" for i in range(300))]))
    assert table(tmp_path, task="multiclass").d_out == 30
    assert table(tmp_path, target=-1, task="regression").d_out == 1


def test_a_class_that_is_a_number_in_one_file_and_a_text_in_another_is_one(tmp_path: Path) -> None:
    pd.DataFrame({"x": range(90), "y": [1, 2] * 45}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"x": range(40), "y": ["1", "2"] * 20}).to_parquet(tmp_path / "b.parquet")
    data = table(tmp_path, "a.parquet", val_path="b.parquet")
    assert data.splits.val is not None
    assert (data.classes, data.splits.val[1].tolist()) == (("1", "2"), [0, 1] * 20)


def test_codes_and_dates_are_classes_if_that_is_said(tmp_path: Path) -> None:
    codes, days = [f"{1990 + i % 25}" for i in range(300)], [f"2024-01-{1 + i % 25:02}" for i in range(300)]
    pd.DataFrame({"x": range(300), "code": codes, "day": days}).to_csv(tmp_path / "a.csv", index=False)
    assert table(tmp_path, target="code", kinds={"code": "category"}).d_out == 25
    assert table(tmp_path, target="day", task="multiclass").d_out == 25
    (tmp_path / "b.csv").write_text("x,y\n" + "1,01\n2,1\n" * 20)
    assert list(table(tmp_path, "b.csv", kinds={"y": "category"}).classes) == ["01", "1"]


def test_regression_targets_are_standardised_by_the_training_rows(tmp_path: Path) -> None:
    frame = mixed()
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path, target=["v", "w"], drop=["y"])
    y, scaler = data.splits.train[1], data.target_scaler
    assert scaler is not None
    assert (data.d_out, data.targets, y.dtype, y.shape[1]) == (2, ("v", "w"), torch.float32, 2)
    torch.testing.assert_close(y.mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(dim=0, correction=0), torch.ones(2))
    every = torch.cat([part[1] for part in parts(data)]).numpy()
    restored = np.sort(every * scaler.std + scaler.mean, axis=0)
    np.testing.assert_allclose(restored, np.sort(frame[["v", "w"]].to_numpy(), axis=0), rtol=1e-4, atol=1e-4)
    assert Target.from_record(data.target.to_record()).to_record() == data.target.to_record()


def numbered(folder: Path, **columns: Any) -> None:
    """A table whose feature `i` is the number of the row."""
    n = 100
    pd.DataFrame({"i": range(n), "y": ["a", "b"] * (n // 2), **columns}).to_csv(folder / "a.csv", index=False)


def rows_of(data: Any) -> list[list[int]]:
    """The numbers of the rows of each split."""
    [scaler] = [data.preprocessing.transformer.named_transformers_["numbers"]["scale"]]
    parts = (data.splits.train, data.splits.val, data.splits.test)
    return [
        [] if p is None else (p[0][:, 0].numpy() * scaler.scale_[0] + scaler.mean_[0]).round().astype(int).tolist()
        for p in parts
    ]


SPLITS: dict[str, dict[str, Any]] = {
    "stratified": {},
    "random": {},
    "group": {"split_by": "g"},
    "time": {"split_by": "t"},
    "column": {"split_by": "s"},
}


@pytest.fixture
def splittable(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.permutation(100), unit="D")
    words = ["train"] * 60 + ["valid"] * 20 + ["test"] * 20
    numbered(tmp_path, g=[f"g{i // 5}" for i in range(100)], t=times.strftime("%d/%m/%Y"), s=words)
    return tmp_path


@pytest.mark.parametrize("how", SPLITS)
def test_test_rows_depend_on_the_seed_alone_and_a_refit_joins_the_others(how: str, splittable: Path) -> None:
    settings = {"split": how, "drop": [c for c in "gts" if c != SPLITS[how].get("split_by")], **SPLITS[how]}
    train, val, test = rows_of(table(splittable, **settings))
    assert sorted(train + val + test) == list(range(100))
    assert rows_of(table(splittable, **settings, refit=True)) == [sorted(train + val), [], test]
    if how != "column":
        assert rows_of(table(splittable, **settings, val_fraction=0.3))[2] == test
    if how in ("stratified", "random", "group"):
        assert rows_of(table(splittable, **settings, seed=1))[2] != test
        assert (len(val), len(test)) == pytest.approx((16, 20), abs=5)


def test_each_way_to_split_keeps_what_it_promises(splittable: Path) -> None:
    frame = pd.read_csv(splittable / "a.csv")
    days = pd.to_datetime(frame["t"], format="%d/%m/%Y")
    train, val, test = rows_of(table(splittable, split="group", split_by="g", drop=["t", "s"]))
    groups = [set(frame["g"][part]) for part in (train, val, test)]
    assert len(set.union(*groups)) == sum(map(len, groups))
    train, val, test = rows_of(table(splittable, split="time", split_by="t", drop=["g", "s"]))
    assert days[train].max() < days[val].min() <= days[val].max() < days[test].min()
    train, val, test = rows_of(table(splittable, split="column", split_by="s", drop=["g", "t"]))
    assert (train, val, test) == (list(range(60)), list(range(60, 80)), list(range(80, 100)))
    data = table(splittable, drop=["g", "t", "s"])
    assert [torch.bincount(part[1]).tolist() for part in (data.splits.train, data.splits.test)] == [[32, 32], [10, 10]]
    assert data.d_in == 1


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({}, (64, 16, 20)),
        ({"test_path": "b.csv"}, (84, 16, 50)),
        ({"val_path": "b.csv"}, (80, 50, 20)),
        ({"val_path": "b.csv", "test_path": "b.csv"}, (100, 50, 50)),
    ],
)
def test_splits_may_be_files_of_their_own(given: dict[str, str], sizes: tuple[int, ...], tmp_path: Path) -> None:
    numbered(tmp_path)
    pd.read_csv(tmp_path / "a.csv")[:50][["y", "i"]].to_csv(tmp_path / "b.csv", index=False)
    assert tuple(len(part[0]) for part in parts(table(tmp_path, **given))) == sizes


@pytest.mark.parametrize("scale", ["standard", "quantile"])
def test_rows_outside_the_training_split_do_not_move_the_preprocessing(scale: str, tmp_path: Path) -> None:
    numbered(tmp_path, g=["here"] * 100)
    [_, val, test] = rows_of(table(tmp_path, drop=["g"]))
    frame = pd.read_csv(tmp_path / "a.csv")
    frame.to_csv(tmp_path / "b.csv", index=False)
    frame.loc[val + test, "i"] = 1e6
    frame.loc[val + test, "g"] = "elsewhere"
    frame.to_csv(tmp_path / "c.csv", index=False)
    before, after = (table(tmp_path, path, scale=scale) for path in ("b.csv", "c.csv"))
    assert torch.equal(before.splits.train[0], after.splits.train[0])
    assert after.splits.test[0][:, 1].tolist() == [0.0] * 20  # unseen in training, so no level at all


def test_what_was_not_seen_or_is_missing_has_a_place(tmp_path: Path) -> None:
    mixed().to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path, drop=DROP)
    row = dict.fromkeys(mixed().columns) | {"city": "elsewhere", "plan": "none such", "other": 1}
    [x] = data.preprocessing.transform(pd.DataFrame([row]))
    features = dict(zip(data.preprocessing.features, x.tolist(), strict=True))  # type: ignore[attr-defined]
    assert features["city"] == 0
    assert [features[f"plan_{level}"] for level in ("", "basic", "plus", "pro")] == [0, 0, 0, 0]
    assert features["missingindicator_age"] == features["missingindicator_since (days)"] == 1
    assert np.isfinite(x).all()


def test_a_preprocessing_is_the_same_after_it_was_saved(tmp_path: Path) -> None:
    frame = mixed()
    frame.to_csv(tmp_path / "a.csv", index=False)
    fitted = table(tmp_path, drop=DROP, scale="quantile").preprocessing
    (tmp_path / "saved").mkdir()
    fitted.save(tmp_path / "saved", target={"task": "binary"})
    loaded = load_preprocessing(tmp_path / "saved")
    assert (loaded.d_in, loaded.cardinalities) == (fitted.d_in, fitted.cardinalities)
    expected = fitted.transform(frame)
    batches = list(read_batches(tmp_path / "a.csv", rows=150))
    assert [len(batch) for batch in batches] == [150, 150, 100]
    reversed_columns = [batch[[*batch.columns[::-1]]] for batch in batches]
    np.testing.assert_allclose(np.concatenate([loaded.transform(b) for b in reversed_columns]), expected, atol=1e-5)
    with pytest.raises(ConfigError, match="the table has no column 'city'"):
        loaded.transform(frame.drop(columns="city"))


def test_a_saved_preprocessing_that_was_exchanged_is_refused(tmp_path: Path) -> None:
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    numbered(tmp_path)
    table(tmp_path).preprocessing.save(tmp_path)
    skops.io.dump(FunctionTransformer(os.system), tmp_path / "preprocessing.skops")
    with pytest.raises(ConfigError, match="can't be read as a preprocessing"):
        load_preprocessing(tmp_path)


def test_rows_of_a_python_frame_are_named_by_their_number(tmp_path: Path) -> None:
    numbered(tmp_path)
    frame = pd.DataFrame({"i": [1, "two"]}, index=["a", "b"])
    with pytest.raises(ConfigError, match=r"row 1 \(counted from 0\), column 'i' is 'two', which is not a number"):
        table(tmp_path).preprocessing.transform(frame)


def test_a_table_that_is_prepared_bit_by_bit_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed(100).to_csv(tmp_path / "a.csv", index=False)
    whole = table(tmp_path, drop=DROP).splits
    monkeypatch.setattr("lightsweep.data.table.preprocessing.CELLS_AT_ONCE", 60)
    monkeypatch.setattr("lightsweep.data.table.reading.BLOCK_BYTES", 1000)
    bits = table(tmp_path, drop=DROP, cache="bits").splits
    for one, other in zip((*whole.train, *whole.test), (*bits.train, *bits.test), strict=True):
        assert torch.equal(one, other)


def test_a_share_of_the_rows_is_enough_to_fit_and_all_levels_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed(missing=0).to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.setattr("lightsweep.data.table.preparing.ROWS_TO_FIT", 60)
    data = table(tmp_path, drop=DROP)
    assert data.cardinalities == (31,)
    mean = data.splits.train[0][:, 0].mean().item()
    assert mean != pytest.approx(0, abs=1e-6)
    assert mean == pytest.approx(0, abs=0.5)


def test_cells_that_are_no_number_are_missing_in_a_binary_file_too(tmp_path: Path) -> None:
    x = np.where(np.arange(60) % 5 == 0, np.nan, np.arange(60) % 3)
    frame = pa.table({"x": pa.array(x), "code": pa.array(x), "void": pa.array([np.nan] * 60), "y": ["a", "b"] * 30})
    pyarrow.parquet.write_table(frame, tmp_path / "a.parquet")
    data = table(tmp_path, "a.parquet", kinds={"code": "category"})
    assert data.preprocessing.features == [  # type: ignore[attr-defined]
        *("x", "missingindicator_x", "code_", "code_0", "code_1", "code_2")
    ]


def test_classes_can_count_alike(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["x,y", *(f"{i},{'a' if i % 4 else 'b'}" for i in range(100))]))
    assert table(tmp_path).class_weights is None
    weights = table(tmp_path, class_weights="balanced").class_weights
    assert weights == pytest.approx((2 / 3, 2), rel=1e-3)


def test_trials_share_what_one_has_prepared_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbered(tmp_path)
    first = table(tmp_path)
    x = first.splits.train[0]
    assert table(tmp_path, batch_size=3).splits.train[0].data_ptr() == x.data_ptr()
    with monkeypatch.context() as patched:
        patched.setattr(frames, "prepare", None)
        assert table(tmp_path, shuffle=False).folder == first.folder
    assert table(tmp_path, scale="quantile").folder != first.folder
    numbered(tmp_path, more=range(100))
    assert table(tmp_path).d_in == 2


def test_what_is_mapped_does_not_change_the_files(tmp_path: Path) -> None:
    numbered(tmp_path)
    data = table(tmp_path)
    before = (data.folder / "x_train.npy").read_bytes()
    data.splits.train[0].zero_()
    assert (data.folder / "x_train.npy").read_bytes() == before


def make_slowly(folder: Path) -> None:
    (folder / f"made by {os.getpid()}").touch()
    time.sleep(0.3)


def call(cache: Path) -> None:
    made_once(cache, name="it", about={}, make=make_slowly)


def test_of_two_processes_that_start_at_once_one_prepares(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    both = [fork.Process(target=call, args=(tmp_path,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    [folder] = tmp_path.glob("it-*")
    assert len(list(folder.iterdir())) == 1


def test_a_process_that_was_killed_while_it_prepared_blocks_nobody(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=call, args=(tmp_path,))
    process.start()
    while not list(tmp_path.glob(".it-*.tmp/made*")):
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not list(tmp_path.glob("it-*"))
    call(tmp_path)
    [made] = tmp_path.glob("it-*/made*")
    assert made.name == f"made by {os.getpid()}"


def test_a_cache_that_can_not_be_written_is_the_users_to_mend(tmp_path: Path) -> None:
    numbered(tmp_path)
    (tmp_path / "cache").touch()
    with pytest.raises(ConfigError, match=r"data\.cache is '.*cache', which can't be created: File exists"):
        _ = table(tmp_path).splits


@pytest.mark.parametrize(
    ("text", "columns", "line"),
    [
        ("\n\nx,y\n1,a\n\n2,b\n", {"x": [1, 2], "y": ["a", "b"]}, 6),
        ('"x\nz",y\n1,a\n', {"x\nz": [1], "y": ["a"]}, 3),
        ("x,y\r\n1,a\r\n2,b", {"x": [1, 2], "y": ["a", "b"]}, 3),
        ("x\ty\n1\ta\n", {"x": [1], "y": ["a"]}, 2),
        ("x,y,\n1,a,\n2,b,\n", {"x": [1, 2], "y": ["a", "b"]}, 3),
        ('x,y\n"1","a ""q"", b"\n', {"x": [1], "y": ['a "q", b']}, 2),
        ("x,400,y\n1,3,a\n2,4,b\n", {"x": [1, 2], "400": [3, 4], "y": ["a", "b"]}, 3),
        ("2019,2020,y\n3,4,a\n", {"2019": [3], "2020": [4], "y": ["a"]}, 2),
    ],
)
def test_a_text_file_may_be_written_in_many_ways(
    text: str, columns: dict[str, list[Any]], line: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, newline="")
    frame = read_frame(path)
    assert frame.to_dict("list") == columns
    assert place(path, len(frame) - 1).endswith(f"a.csv, line {line}")
    [batch] = read_batches(path)
    assert batch.to_dict("list") == {name: [str(cell) for cell in cells] for name, cells in columns.items()}


def test_a_later_block_may_widen_the_type_of_a_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightsweep.data.table.reading.BLOCK_BYTES", 64)
    rows = ["1,,01,2024-01-01"] * 30 + ["1.5,7,02,2024-01-01 10:00", "2,x,03,"]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["number,text,code,date", *rows]))
    frame = read_frame(path, text=["code"])
    assert [str(kind) for kind in frame.dtypes] == ["double[pyarrow]", *["string[pyarrow]"] * 3]
    assert frame.loc[30].tolist() == [1.5, "7", "02", "2024-01-01 10:00"]
    assert frame["text"].isna().sum() == 30
    assert place(path, 30).endswith("a.csv, line 32")


def test_quantiles_are_the_edges_of_bins_with_equally_many_rows(tmp_path: Path) -> None:
    mixed(missing=0).to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path, drop=DROP)
    edges = data.quantiles(4)
    assert data.n_numbers == 3 + 3 + 4  # age, visits and zip, and the parts of two dates
    assert edges.shape == (data.n_numbers, 5)
    assert (edges.diff(dim=1) >= 0).all()
    inside = (data.splits.train[0][:, :1] < edges[0, 1:-1]).float().mean(dim=0)
    torch.testing.assert_close(inside, torch.tensor([0.25, 0.5, 0.75]), atol=0.02, rtol=0)


def test_levels_are_those_of_the_training_file_in_every_other_form(tmp_path: Path) -> None:
    """Numbers that are said to be a category, and codes of which another file has none with a letter."""
    frame = pd.DataFrame({"k": [1.0, 2.0, 3.0] * 20, "z": ["01", "02", "A3"] * 20, "y": ["a", "b", "c"] * 20})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame[frame["z"] != "A3"].to_csv(tmp_path / "val.csv", index=False)
    data = table(tmp_path, val_path=str(tmp_path / "val.csv"), kinds={"k": "category"}, one_hot_up_to=10)
    assert data.splits.val is not None
    assert (data.splits.val[0].sum(dim=1) == 2).all()
    for rows in (frame, pd.read_csv(tmp_path / "a.csv"), frame.assign(k=frame["k"].astype(int))):
        assert (data.preprocessing.transform(rows).sum(axis=1) == 2).all()


def test_columns_may_be_named_like_what_others_become(tmp_path: Path) -> None:
    texts = {"color": ["x", "z"] * 30, "a": ["b_c", "d"] * 30, "a_b": ["c", "d"] * 30}
    numbers = {"color_x": range(60), "missingindicator_n": range(60), "n": [None, 2.5, 3.5] * 20}
    pd.DataFrame({**texts, **numbers, "y": ["a", "b"] * 30}).to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path, one_hot_up_to=10)
    assert data.d_in == len(data.preprocessing.transform(pd.read_csv(tmp_path / "a.csv"))[0]) == 3 + 1 + 6


def test_a_target_far_from_zero_keeps_its_digits(tmp_path: Path) -> None:
    y = 1.6e9 + np.arange(100) / 3
    pd.DataFrame({"x": range(100), "y": y}).to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path)
    scaler = Target.from_record(data.target.to_record()).scaler
    assert scaler is not None
    found = scaler.inverse(data.splits.test[1])
    assert all(np.abs(y - float(one)).min() < 1e-3 for one in found)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_what_counts_as_missing_can_be_said_and_is_kept_with_the_model(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [-999, 1, 2] * 20, "c": ["NA", "DE", "unknown"] * 20, "y": ["a", "b", "c"] * 20})
    WRITERS[name](frame, tmp_path / name)
    data = table(tmp_path, name, missing=[-999, "unknown"], one_hot_up_to=10)
    assert data.preprocessing.features == ["n", "missingindicator_n", "c_", "c_DE", "c_NA"]
    data.preprocessing.save(tmp_path)
    expected = data.preprocessing.transform(frame)
    assert (expected[:, 1] == (frame["n"] == -999)).all()
    np.testing.assert_array_equal(load_preprocessing(tmp_path).transform(frame), expected)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_what_counts_as_missing_does_so_in_the_target_and_the_column_of_the_split(name: str, tmp_path: Path) -> None:
    v = np.where(np.arange(60) % 4 == 0, -999.0, np.arange(60) + 0.5)
    frame = pd.DataFrame({"x": range(60), "y": ["a", "b", "unknown"] * 20, "v": v, "g": range(60)})
    WRITERS[name](frame, tmp_path / name)
    missing = [-999, "unknown"]
    classes = table(tmp_path, name, missing=missing, drop=["v", "g"])
    assert (list(classes.classes), sum(len(p[1]) for p in parts(classes))) == (["a", "b"], 40)
    values = table(tmp_path, name, missing=missing, target="v", drop=["y", "g"])
    assert values.target_scaler is not None
    assert (values.target_scaler.mean > 0, sum(len(p[1]) for p in parts(values))) == (True, 45)
    grouped = table(tmp_path, name, missing=[7], drop=["v"], split="group", split_by="g")
    with pytest.raises(ConfigError, match=r"column 'g' is missing; data\.split=group needs it"):
        _ = grouped.splits


def test_the_overview_counts_what_is_missing_in_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = [-999.0, 1.5, 2.5, 3.5] * 25
    numbered(tmp_path, n=numbers, k=numbers)
    pd.read_csv(tmp_path / "a.csv").assign(n=None).to_csv(tmp_path / "b.csv", index=False)
    _ = table(tmp_path, test_path="b.csv", missing=[-999], kinds={"k": "category"}).splits
    told = capsys.readouterr().err
    for line in ("b.csv: 200 rows", "n (62.5% missing)", "category  k (25.0% missing)"):
        assert line in told


def test_texts_may_be_views(tmp_path: Path) -> None:
    texts = {name: pa.array(cells * 20).cast(pa.string_view()) for name, cells in (("c", [*"uvw"]), ("y", [*"abc"]))}
    frame = pa.table({"x": range(60), **texts})
    with pa.ipc.new_file(tmp_path / "a.feather", frame.schema) as file:
        file.write_table(frame)
    data = table(tmp_path, "a.feather", missing=["u"])
    assert data.preprocessing.features == ["x", "c_", "c_v", "c_w"]  # type: ignore[attr-defined]


def test_groups_of_any_size_are_spread_over_all_splits(tmp_path: Path) -> None:
    groups = ["large"] * 40 + [f"single {i}" for i in range(60)]
    frame = pd.DataFrame({"g": groups, "x": range(100), "y": [i / 7 for i in range(100)]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    for seed in range(20):
        data = table(tmp_path, split="group", split_by="g", seed=seed)
        assert [len(part[1]) for part in parts(data)] == [64, 16, 20]


def test_equal_moments_are_in_one_split(tmp_path: Path) -> None:
    days = np.repeat(np.arange(20), 10)
    frame = pd.DataFrame({"day": days, "x": np.arange(200.0) % 7, "y": np.arange(200.0) % 11 + 0.5})
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path, split="time", split_by="day", val_fraction=0.16, test_fraction=0.22)
    assert [len(part[0]) for part in parts(data)] == [120, 40, 40]


def test_what_numbers_the_rows_is_no_feature_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = mixed(100)[["age", "y"]].assign(customer_id=np.arange(500, 600), year=np.arange(2000, 2100))
    frame.to_csv(tmp_path / "a.csv")
    assert table(tmp_path).preprocessing.features == ["age", "year", "missingindicator_age"]
    told = capsys.readouterr().err
    assert "  left out  a column without a name: taken for the index of a saved frame\n" in told
    assert "  left out  customer_id: numbers the rows" in told
    assert "customer_id" in table(tmp_path, kinds={"customer_id": "number"}).preprocessing.features
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "a.csv", index=False)
    assert "customer_id" in table(tmp_path).preprocessing.features


def test_prepared_data_of_which_a_file_is_gone_is_named(tmp_path: Path) -> None:
    mixed(60).to_csv(tmp_path / "a.csv", index=False)
    folder = table(tmp_path, drop=DROP).folder
    (folder / "y_train.npy").unlink()
    with pytest.raises(ConfigError, match=r"lacks y_train\.npy\. Delete that folder"):
        _ = table(tmp_path, drop=DROP).splits


def test_a_saved_preprocessing_of_which_a_column_is_gone_is_refused(tmp_path: Path) -> None:
    mixed(60).to_csv(tmp_path / "a.csv", index=False)
    table(tmp_path, drop=DROP).preprocessing.save(tmp_path)
    record = json.loads((tmp_path / "preprocessing.json").read_text())
    record["columns"].pop()
    (tmp_path / "preprocessing.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=r"preprocessing\.json has other columns than preprocessing\.skops"):
        load_preprocessing(tmp_path)


def test_a_regression_has_no_class_weights(tmp_path: Path) -> None:
    mixed(60).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ConfigError, match=r"data\.class_weights is balanced, but the task is regression"):
        _ = table(tmp_path, drop=["y", "w"], target="v", class_weights="balanced").class_weights


def test_a_category_that_is_written_in_another_way_is_warned_of(tmp_path: Path) -> None:
    mixed(100, missing=0).to_csv(tmp_path / "a.csv", index=False)
    preprocessing = table(tmp_path, drop=DROP, kinds={"zip": "category"}).preprocessing
    rows = pd.read_csv(tmp_path / "a.csv", dtype={"zip": str})
    preprocessing.transform(rows)
    with pytest.warns(UserWarning, match="no cell of the column 'zip' was seen in training: '1' is here, '00000' was"):
        preprocessing.transform(rows.assign(zip=rows["zip"].astype(int) + 1))


def test_numbers_may_be_written_with_a_comma_which_stays_with_the_model(tmp_path: Path) -> None:
    frame = mixed(100, missing=0.1)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "comma.csv", index=False, sep=";", decimal=",")
    settings: dict[str, Any] = {"target": "v", "drop": ["y"], "kinds": {"zip": "category"}}
    expected, found = table(tmp_path, **settings), table(tmp_path, "comma.csv", decimal="comma", **settings)
    for one, other in zip(found.splits.train, expected.splits.train, strict=True):
        assert torch.equal(one, other)
    found.preprocessing.save(tmp_path)
    preprocessing: Any = load_preprocessing(tmp_path)
    assert preprocessing.columns.decimal == ","
    [rows] = read_batches(tmp_path / "comma.csv", decimal=preprocessing.columns.decimal)
    np.testing.assert_array_equal(preprocessing.transform(rows), expected.preprocessing.transform(frame))


def test_a_level_with_a_comma_is_the_same_in_training_and_later(tmp_path: Path) -> None:
    cells = ["1,5", "2", "x"] * 20
    pd.DataFrame({"c": cells, "y": ["a", "b", "c"] * 20}).to_csv(tmp_path / "a.csv", index=False, sep=";")
    data = table(tmp_path, decimal="comma", kinds={"c": "category"})
    [rows] = read_batches(tmp_path / "a.csv", decimal=",")
    assert (data.preprocessing.transform(rows).sum(axis=1) == 1).all()
