"""What a file writes or declares is honoured: codes, types, numbers with signs, encodings and spellings."""

import unicodedata
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lightsweep.data.reading.dialect import Dialect
from lightsweep.data.reading.frames import read_batches, read_frame
from lightsweep.data.saved_preprocessing import load_preprocessing
from lightsweep.data.table.columns import Column
from lightsweep.data.table.module import TableDataModule
from lightsweep.data.table.source import Table
from lightsweep.data.unseen_levels import UnseenLevels
from lightsweep.errors import ConfigError
from tests.data.table.tables import table

N = 60
CODES = ["00501", "01234", "99999"] * (N // 3)
CLASSES = ["north", "south", "west"] * (N // 3)


def column(data: TableDataModule, name: str = "c") -> Column:
    preprocessing: Any = data.preprocessing
    return next(one for one in preprocessing.columns.all if one.name == name)


def overview(data: TableDataModule) -> str:
    return (data.folder / "overview.txt").read_text(encoding="utf-8")


def saved(data: TableDataModule, folder: Path) -> Any:
    """Return the preprocessing as a prediction loads it."""
    data.preprocessing.save(folder)
    return load_preprocessing(folder)


def write(path: Path, **columns: Any) -> None:
    frame = pd.DataFrame({"c": CODES, "x": range(N), "y": CLASSES} | columns)
    {".csv": frame.to_csv, ".parquet": frame.to_parquet}[path.suffix](path, index=False)


@pytest.mark.parametrize("late", [False, True])
def test_codes_with_leading_zeros_are_categories(late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if late:  # in a later block than the first
        monkeypatch.setattr("lightsweep.data.reading.text.BLOCK_BYTES", 256)
        monkeypatch.setitem(
            globals(), "CODES", ["15010", "21234", "99999"] * (N // 3 - 1) + ["00501", "01234", "00501"]
        )
    write(tmp_path / "a.csv")
    data = table(tmp_path, drop=["x"])
    assert column(data).kind == "category"
    assert "note      c: category, some values have leading zeros" in overview(data)


def test_numbers_that_begin_with_one_zero_stay_numbers(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", c=["0", "-0.5", "10", "0.25", "100", "0e3"] * (N // 6))
    assert column(table(tmp_path)).kind == "number"
    write(tmp_path / "a.csv")
    assert column(table(tmp_path, kinds={"c": "number"})).kind == "number"


PLAIN = ["10501", "21234", "99999"] * (N // 3)  # as CODES, without leading zeros


@pytest.mark.parametrize("key", ["val_path", "test_path"])
@pytest.mark.parametrize("name", ["late.csv", "late.parquet"])
def test_codes_in_a_later_file_are_no_numbers(key: str, name: str, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", c=PLAIN)
    write(tmp_path / name)
    with pytest.raises(ConfigError, match=r"late\..*, column 'c' is '00501'.*data.kinds=\{c:category\}"):
        _ = table(tmp_path, **{key: name}).folder
    for kind in ("category", "number"):
        assert column(table(tmp_path, kinds={"c": kind}, **{key: name})).kind == kind


def test_codes_are_no_numbers_in_a_prediction(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", c=PLAIN)
    write(tmp_path / "new.csv")
    for kinds in (None, {"c": "number"}):
        preprocessing = saved(table(tmp_path, kinds=kinds), tmp_path)
        rows = next(read_batches(tmp_path / "new.csv"))
        if kinds is None:
            with pytest.raises(ConfigError, match=r"row 0 .*, column 'c' is '00501', which has a leading zero"):
                preprocessing.transform(rows)
        else:
            preprocessing.transform(rows)
        preprocessing.transform(next(read_batches(tmp_path / "a.csv")))


def test_codes_agree_as_text_numbers_and_categories(tmp_path: Path) -> None:
    write(tmp_path / "a.csv")
    preprocessing = saved(table(tmp_path), tmp_path)
    [text] = read_batches(tmp_path / "a.csv")
    as_text = pd.DataFrame({"c": CODES, "x": range(N)})
    expected = preprocessing.transform(text)
    assert expected[:, 1:].sum() == N  # every code is a level of training
    for c in (as_text["c"], as_text["c"].astype(int), as_text["c"].astype(float), as_text["c"].astype("category")):
        np.testing.assert_array_equal(preprocessing.transform(as_text.assign(c=c)), expected)


def test_a_declared_category_is_one_whatever_its_levels_are(tmp_path: Path) -> None:
    levels: list[Any] = [[1, 2, 3], ["1", "2", "3"], [1.0, 2.0, 3.0], [2020, 2021, 2022]]
    for values in levels:
        write(tmp_path / "a.parquet", c=pd.Categorical(values * (N // 3)))
        data = table(tmp_path, "a.parquet")
        assert column(data).kind == "category"
        preprocessing = saved(data, tmp_path)
        numbers = pd.DataFrame({"c": [int(value) for value in values] * (N // 3), "x": range(N)})
        expected = preprocessing.transform(read_frame(tmp_path / "a.parquet"))
        for c in (numbers["c"], numbers["c"].astype(float), numbers["c"].astype(str), numbers["c"].astype("category")):
            np.testing.assert_array_equal(preprocessing.transform(numbers.assign(c=c)), expected)


@pytest.mark.parametrize("values", [[1, 2, 3], [1.5, 2.0, 3.0], ["a", "b", "c"]])
@pytest.mark.parametrize("rows", [7, N])
def test_a_dictionary_of_arrow_is_a_category(values: list[Any], rows: int, tmp_path: Path) -> None:
    c = pa.array(values * (N // 3)).dictionary_encode()
    pq.write_table(pa.table({"c": c, "x": range(N), "y": CLASSES}), tmp_path / "a.parquet", row_group_size=rows)
    data = table(tmp_path, "a.parquet")
    assert column(data).kind == "category"
    batches = pd.concat(read_batches(tmp_path / "a.parquet", rows=7))
    np.testing.assert_array_equal(
        data.preprocessing.transform(batches), data.preprocessing.transform(read_frame(tmp_path / "a.parquet"))
    )


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([True, False, None] * (N // 3)), "boolean"),
        (pa.array([0, 1, 2] * (N // 3), pa.date32()), "date"),
        (pa.array([0, 1, 2] * (N // 3), pa.timestamp("ms", tz="Europe/Berlin")), "date"),
        (pa.array(["1", "2", "3"] * (N // 3)), "category"),
        (pa.array([1, 2, 3] * (N // 3), pa.decimal128(20, 2)), "number"),
        (pa.array([1, 2, 3] * (N // 3), pa.int8()), "number"),
    ],
)
def test_declared_types_of_a_binary_file_are_kept(values: pa.Array, kind: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"c": values, "x": range(N), "y": CLASSES}), tmp_path / "a.parquet")
    assert column(table(tmp_path, "a.parquet")).kind == kind


LONG = [10**19 + i for i in (1, 2, 3)]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([str(label) for label in LONG], tuple(map(str, LONG))),
        (["1.1", "1.10", "2.0"], ("1.1", "1.10", "2.0")),
        (["2E3", "2000", "1"], ("1", "2000", "2E3")),
        (["1", "01", "2"], ("01", "1", "2")),
        (["3.0", "1", "2"], (1, 2, 3)),
        (["9007199254740993", "9007199254740992", "0"], (0, 2**53, 2**53 + 1)),
    ],
)
def test_a_label_of_a_text_file_is_never_a_float(labels: list[str], classes: tuple[Any, ...], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n" + "".join(f"{i},{labels[i % 3]}\n" for i in range(N)))
    data = table(tmp_path, task="multiclass")
    assert tuple(data.classes) == classes
    assert sum(len(y) for _, y in (data.splits.train, data.splits.test)) > 0


@pytest.mark.parametrize("scale", [0, 2])
def test_a_decimal_label_of_a_binary_file_is_exact(scale: int, tmp_path: Path) -> None:
    labels = pa.array([str(label) for label in LONG] * (N // 3)).cast(pa.decimal128(30, scale))
    pq.write_table(pa.table({"x": range(N), "y": labels}), tmp_path / "a.parquet")
    assert tuple(table(tmp_path, "a.parquet", task="multiclass").classes) == tuple(map(str, LONG))


@pytest.mark.parametrize("labels", [["10", "nan", "2", "a"], ["nan", "10", "a", "2"]])
def test_labels_are_sorted_with_nan_as_a_text(labels: list[str], tmp_path: Path) -> None:
    write(tmp_path / "a.csv", y=[labels[i % 4] for i in range(N)])
    assert tuple(table(tmp_path, missing=[], task="multiclass").classes) == ("2", "10", "a", "nan")


NUMBERS = [100 * (i % 30) + 7 for i in range(4 * N)]  # 30 levels, which would be a regression


@pytest.mark.parametrize(
    ("name", "y", "kinds", "first"),
    [
        ("a.csv", NUMBERS, {"y": "category"}, 7),
        ("a.parquet", NUMBERS, {"y": "category"}, 7),
        ("a.parquet", pd.Categorical(NUMBERS), None, 7),
        ("a.parquet", pd.Categorical([*map(str, NUMBERS)]), None, "7"),
        ("a.csv", [f"2024-01-{i % 30 + 1:02d}" for i in range(4 * N)], {"y": "category"}, "2024-01-01"),
    ],
)
def test_a_target_that_is_a_category_has_classes(
    name: str, y: Any, kinds: dict[str, str] | None, first: Any, tmp_path: Path
) -> None:
    write(tmp_path / name, c=CODES * 4, x=range(4 * N), y=y)
    data = table(tmp_path, name, kinds=kinds)
    assert (data.target.task, len(data.classes), data.classes[0]) == ("multiclass", 30, first)
    assert table(tmp_path, name, kinds=kinds, task="multiclass").classes == data.classes


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_boolean_target_stays_boolean(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, y=[True, False] * (N // 2))
    assert [type(label) for label in table(tmp_path, name).classes] == [bool, bool]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["True", "true", "FALSE"], (False, True)),
        (["Yes", "yes", "NO"], ("no", "yes")),
        (["Yes", "No", "No"], ("No", "Yes")),
        (["Cat", "cat", "dog"], ("Cat", "cat", "dog")),
    ],
)
def test_spellings_of_a_boolean_are_one_class(labels: list[str], classes: tuple[Any, ...], tmp_path: Path) -> None:
    write(tmp_path / "a.csv", y=labels * (N // 3))
    data = table(tmp_path)
    assert tuple(data.classes) == classes
    assert (f"3 spellings ({', '.join(sorted(labels))}) are 2 classes" in overview(data)) == (
        len(set(labels)) > len(classes)
    )
    labels_in_splits = np.concatenate([split[1] for split in (data.splits.train, data.splits.val, data.splits.test)])  # type: ignore[index]
    assert np.bincount(labels_in_splits).sum() == N


def test_texts_that_look_the_same_are_the_same(tmp_path: Path) -> None:
    names = ["Zürich", "São Paulo", "Malmö"]
    write(tmp_path / "a.csv", c=names * (N // 3), y=["Übung", "Test", "Übung"] * (N // 3))
    (tmp_path / "a.csv").write_text((tmp_path / "a.csv").read_text().replace("c,x,y", "Größe,x,y\u200b"))
    data = table(tmp_path, drop=["x"])
    assert column(data, "Größe").kind == "category"
    preprocessing = saved(data, tmp_path)
    expected = preprocessing.transform(pd.DataFrame({"Größe": names}))
    spellings = [unicodedata.normalize("NFD", name) for name in names], [f"\u200b{name}\u00a0" for name in names]
    for other in spellings:
        frame = pd.DataFrame({unicodedata.normalize("NFD", "Größe"): other})
        np.testing.assert_array_equal(preprocessing.transform(frame), expected)
    decomposed = unicodedata.normalize("NFD", "Größe")
    assert table(tmp_path, drop=["x", decomposed], target="y").settings.drop == ["x", "Größe"]


def test_names_of_a_frame_of_any_source_are_normalized() -> None:
    name = unicodedata.normalize("NFD", "größe")
    frame = pd.DataFrame({name: [1, 2], "a\u00a0b": [1, 2]})
    given = Table("t", frame, lambda row: f"row {row}", targets=[name]).normalized(Dialect())
    assert ([*given.frame.columns], given.targets) == (["größe", "a b"], ["größe"])
    with pytest.raises(ConfigError, match="the columns 1 and 2 are both named 'größe'"):
        Table("t", frame.set_axis([name, "größe"], axis=1), lambda row: "").normalized(Dialect())


def test_names_that_look_the_same_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", **{"Gr\u00f6\u00dfe": range(N), "Gro\u0308\u00dfe": range(N)})
    with pytest.raises(ConfigError, match="the columns 4 and 5 are both named"):
        _ = table(tmp_path, "a.parquet").splits


@pytest.mark.parametrize(
    ("settings", "cells", "numbers"),
    [
        ({"thousands": "comma"}, ["1,068.98", "980", "1,234,567"], [1068.98, 980, 1234567]),
        ({"thousands": "point", "decimal": "comma"}, ["1.068,98", "980", "0,5"], [1068.98, 980, 0.5]),
        ({"thousands": "space", "decimal": "comma"}, ["1\u202f068,98", "9 800", "-7"], [1068.98, 9800, -7]),
        ({}, ["12.5%", "7 %", "-3%"], [12.5, 7, -3]),
        ({"decimal": "comma"}, ["12,5%", "7%", "-3%"], [12.5, 7, -3]),
        ({}, ["$5.20", "-$3", "$ 7"], [5.2, -3, 7]),
        ({"thousands": "comma"}, ["1,005.20 €", "3 €", "-7€"], [1005.2, 3, -7]),
        ({"decimal": "comma"}, ["12,50\u00a0€", "-3\u202f€", "7€"], [12.5, -3, 7]),
        ({}, ["5\u00a0%", "7\u2009%", "\u00a03%"], [5, 7, 3]),
        ({"thousands": "comma"}, ["$1,500.50", "($0.35)", "(1,000 $)"], [1500.5, -0.35, -1000]),
        ({}, ["USD 0.35", "-2 USD", "7\u00a0USD"], [0.35, -2, 7]),
        ({"thousands": "apostrophe"}, ["1'034.5", "12’000", "-7"], [1034.5, 12000, -7]),
        ({"thousands": "space"}, ["1 034", "1\u00a0034\u202f000.5", "7"], [1034, 1034000.5, 7]),
    ],
)
def test_numbers_with_signs_are_numbers_in_training_and_prediction(
    settings: dict[str, Any], cells: list[str], numbers: list[float], tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    write(path, c=cells * (N // 3))
    data = table(tmp_path, drop=["x"], **settings)
    assert column(data).kind == "number"
    preprocessing = saved(data, tmp_path)
    [rows] = read_batches(path, dialect=preprocessing.columns.dialect)
    by_text = preprocessing.transform(rows)
    np.testing.assert_array_equal(preprocessing.transform(pd.DataFrame({"c": cells * (N // 3)})), by_text)
    np.testing.assert_allclose(preprocessing.transform(pd.DataFrame({"c": numbers * (N // 3)})), by_text, atol=1e-6)
    assert ("c: number, in " in overview(data)) == any(sign in cells[0] for sign in ("%", "$", "€", "USD"))


def test_a_target_may_have_a_currency(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", y=[f"${i},{i:03}.50" for i in range(1, N + 1)])
    data = table(tmp_path, thousands="comma", drop=["c"])
    assert "regression: y 1002 to 6.006e+04" in overview(data)


def test_a_unit_that_training_has_not_seen_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", c=["$5.20", "-$3", "$ 7"] * (N // 3))
    preprocessing = saved(table(tmp_path, drop=["x"]), tmp_path)
    with pytest.raises(ConfigError, match="column 'c' is '5€', which is not a number"):
        preprocessing.transform(pd.DataFrame({"c": ["5€"]}))


def test_thousands_and_decimals_have_different_signs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.thousands and data\.decimal are both point"):
        table(tmp_path, thousands="point")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_the_encoding_is_used_and_kept(encoding: str, tmp_path: Path) -> None:
    text = "stÿle,y\n" + "süß,ä\nmild,ö\nsüß,ä\n" * (N // 3)
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    data = table(tmp_path, encoding=encoding)
    assert (tuple(data.classes), column(data, "stÿle").kind) == (("ä", "ö"), "category")
    assert saved(data, tmp_path).columns.dialect == Dialect(encoding=encoding)


def test_times_without_their_zone_are_refused(tmp_path: Path) -> None:
    moments = pd.Series(pd.date_range("2024-01-01 05:30", periods=N, freq="7h"))
    zoned = moments.dt.tz_localize("Europe/Berlin")
    for with_zone, training, other in ((True, zoned, moments), (False, moments, zoned)):
        for name, series in (("a.csv", training.map(str)), ("a.parquet", training)):
            write(tmp_path / name, c=series)
            data = table(tmp_path, name, drop=["x"])
            assert column(data).has_zone is with_zone
            preprocessing = saved(data, tmp_path)
            assert np.isfinite(preprocessing.transform(pd.DataFrame({"c": training}))).all()
            for changed in (other, other.map(str)):
                with pytest.raises(ConfigError, match="no time zone" if with_zone else "has a time zone"):
                    preprocessing.transform(pd.DataFrame({"c": changed}))


def test_dates_without_hours_need_no_zone(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", c=[f"2024-01-{1 + i % 28:02}" for i in range(N)])
    data = table(tmp_path, drop=["x"])
    assert (column(data).kind, column(data).has_zone) == ("date", None)


def test_texts_that_are_missing_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", y=["NA", "EU", "AS"] * (N // 3))
    assert "20 rows whose target is missing are left out ('NA' in 20 rows counts as missing;" in overview(
        table(tmp_path)
    )
    assert tuple(table(tmp_path, missing=[]).classes) == ("AS", "EU", "NA")


RARE = ["a", "b"] * (N // 2 - 2) + ["c", "d", "e", "e"]


@pytest.mark.parametrize(("how", "classes", "n_rows"), [("drop", ("a", "b"), N - 4), ("other", ("a", "b", "other"), N)])
def test_rare_classes_are_left_out_or_become_one(
    how: str, classes: tuple[str, ...], n_rows: int, tmp_path: Path
) -> None:
    write(tmp_path / "a.csv", y=RARE)
    with pytest.raises(ConfigError, match=r"set data\.rare_classes=drop or other"):
        _ = table(tmp_path).splits
    data = table(tmp_path, rare_classes=how)
    assert (tuple(data.classes), data.target.d_out) == (classes, len(classes))
    assert f"{n_rows} rows" in overview(data)
    assert "3 rare classes with 4 rows" in overview(data)


def test_few_rows_of_rare_classes_are_no_class(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", y=[*CLASSES[:-2], "few", "one"])
    with pytest.raises(ConfigError, match=r"the class 'other' has 2 rows.*, or set data.rare_classes=drop\.$"):
        _ = table(tmp_path, rare_classes="other").splits
    assert tuple(table(tmp_path, rare_classes="drop").classes) == ("north", "south", "west")


def test_a_class_without_rows_for_training_is_rare(tmp_path: Path) -> None:
    y, splits = ["a", "b", "c"] * (N // 3), ["train", "val", "test"] * (N // 3)
    parts = ["test" if label == "c" else splits[(i // 3) % 3] for i, label in enumerate(y)]
    write(tmp_path / "a.csv", y=y, part=parts)
    settings: dict[str, Any] = {"split": "column", "split_by": "part"}
    with pytest.raises(ConfigError, match="the class 'c' has 20 rows, 0 of them for training"):
        _ = table(tmp_path, **settings).splits
    data = table(tmp_path, rare_classes="drop", **settings)
    assert tuple(data.classes) == ("a", "b")
    assert sum(len(split[1]) for split in (data.splits.train, data.splits.val, data.splits.test)) == 40  # type: ignore[index]


def test_rare_numbers_become_a_class_beside_numbers(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", y=[0, 1] * (N // 2 - 2) + [7, 8, 9, 9])
    with warnings.catch_warnings(action="error"):
        assert tuple(table(tmp_path, rare_classes="other").classes) == ("0", "1", "other")


CLOCKS = {  # cells, and hours
    "times": (["08:30", "8:45", "17:15:36"], [8.5, 8.75, 17.26]),
    "durations of pandas": (["0 days 05:12:00", "1 days 00:30:00", "-1 days +23:00:00"], [5.2, 24.5, -1.0]),
}


@pytest.mark.parametrize("case", CLOCKS.values(), ids=CLOCKS)
def test_times_of_day_and_durations_are_hours(case: tuple[list[str], list[float]], tmp_path: Path) -> None:
    cells, hours = case
    write(tmp_path / "a.csv", c=cells * (N // 3))
    data = table(tmp_path, drop=["x"])
    assert "note      c: number, in hours" in overview(data)
    preprocessing = saved(data, tmp_path)
    by_text = preprocessing.transform(pd.DataFrame({"c": cells}))
    np.testing.assert_allclose(preprocessing.transform(pd.DataFrame({"c": hours})), by_text, atol=1e-5)
    durations = pd.DataFrame({"c": pd.to_timedelta(hours, unit="h")})
    np.testing.assert_allclose(preprocessing.transform(durations), by_text, atol=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0, 3600, 7200] * (N // 3), pa.duration("s")),
        pa.array([0, 3600, 7200] * (N // 3), pa.time32("s")),
        pa.array([0, 3600 * 10**9, None] * (N // 3), pa.time64("ns")),
    ],
)
def test_times_of_a_binary_file_are_hours(values: pa.Array, tmp_path: Path) -> None:
    pq.write_table(pa.table({"c": values, "y": CLASSES}), tmp_path / "a.parquet")
    data = table(tmp_path, "a.parquet")
    scaler = data.preprocessing.transformer.named_transformers_["numbers"]["scale"]  # type: ignore[attr-defined]
    assert (column(data).kind, scaler.mean_[0]) == ("number", pytest.approx(1, abs=0.6))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_cells_of_blanks_are_missing(name: str, tmp_path: Path) -> None:
    cells: list[Any] = [" ", *map(str, range(1, N))]
    write(tmp_path / name, c=cells, d=["", "  ", "v"] * (N // 3), y=[" ", *CLASSES[1:]])
    kinds = {"c": "number"} if name == "a.parquet" else None  # this file declares a text
    data = table(tmp_path, name, drop=["x"], kinds=kinds)
    assert (column(data).kind, column(data, "d").kind) == ("number", "category")
    assert "c (1.7% missing)" in overview(data)
    assert "d (66.7% missing)" in overview(data)
    assert "1 rows whose target is missing" in overview(data)


def test_an_infinite_target_is_said(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", y=["inf", *(f"{i}.5" for i in range(1, N))])
    with pytest.raises(ConfigError, match=r"a.csv, line 2, column 'y' is inf, which is not a finite 32-bit number"):
        _ = table(tmp_path).splits


@pytest.mark.parametrize("levels", [["new", "old"], [1.5, 2.5]])
def test_a_column_without_values_in_training_is_left_out(levels: list[Any], tmp_path: Path) -> None:
    c = [None] * (N - 8) + levels * 4
    write(tmp_path / "a.csv", c=c, day=pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d"))
    data = table(tmp_path, split="time", split_by="day")
    assert "left out  c: all cells are missing in the rows for training" in overview(data)
    saved(data, tmp_path).transform(pd.DataFrame({"c": levels, "x": [1, 2]}))


@pytest.mark.parametrize("copy", [CLASSES, pd.Categorical(CLASSES)])
def test_a_copy_of_the_target_is_left_out(copy: Any, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", copy=copy)
    data = table(tmp_path, "a.parquet")
    assert "left out  copy: the same as the target in all rows" in overview(data)
    write(tmp_path / "a.csv", copy=[f"{i}.50" for i in range(N)], y=[f"{i}.5" for i in range(N)])
    assert "left out  copy" in overview(table(tmp_path))
    write(tmp_path / "a.csv", copy=[*CLASSES[:-1], "other"])
    assert "left out" not in overview(table(tmp_path))


def test_a_column_whose_first_cells_are_empty_is_read_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f",,{i}\n" for i in range(150)] + [f"{i},0{i},{i}\n" for i in range(100, 200)]
    (tmp_path / "a.csv").write_text("number,code,x\n" + "".join(rows))
    for block in (1 << 20, 256):
        monkeypatch.setattr("lightsweep.data.reading.text.BLOCK_BYTES", block)
        frame = read_frame(tmp_path / "a.csv")
        assert [str(frame[name].dtype) for name in ("number", "code")] == ["int64[pyarrow]", "string[pyarrow]"]


def test_times_of_a_text_file_are_predicted_from_it(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", c=["08:30", "09:15:30", "23:59"] * (N // 3))
    data = table(tmp_path, drop=["x"])
    [rows] = read_batches(tmp_path / "a.csv")
    assert column(data).unit == "hours"
    assert np.isfinite(saved(data, tmp_path).transform(rows)).all()


def test_a_decimal_of_many_digits_is_a_number(tmp_path: Path) -> None:
    values = pa.array([str(10**30 + i) for i in range(N)]).cast(pa.decimal128(38, 0))
    pq.write_table(pa.table({"c": values, "y": CLASSES}), tmp_path / "a.parquet")
    assert column(table(tmp_path, "a.parquet")).kind == "number"


@pytest.mark.parametrize(
    ("cells", "way_out"),
    [
        (["1,234", "5"], "data.thousands=comma"),
        (["1'234.5", "5"], "data.thousands=apostrophe"),
    ],
)
@pytest.mark.parametrize("n_levels", [2, N])
def test_thousands_without_their_setting_are_refused_with_it(
    cells: list[str], way_out: str, n_levels: int, tmp_path: Path
) -> None:
    numbers = [cells[i % 2] if i < 2 or n_levels == 2 else str(i) for i in range(N)]
    write(tmp_path / "a.csv", c=numbers)
    with pytest.raises(ConfigError, match=way_out):
        _ = table(tmp_path, drop=["x"]).splits


@pytest.mark.parametrize(
    ("settings", "cell", "line", "message"),
    [
        ({}, "{}.520,70 €", 2, "like -1234.5, or set data.decimal=comma for 1234,5 and data.thousands=point"),
        ({}, "{},2 %", 2, "like -1234.5, or set data.decimal=comma"),
        ({}, "${},354", 2, "data.thousands=comma"),
        ({}, "{} 354", 2, "data.thousands=space"),
    ],
)
def test_numbers_with_a_unit_in_another_notation_are_refused_with_their_settings(
    settings: dict[str, Any], cell: str, line: int, message: str, tmp_path: Path
) -> None:
    cells = [cell.format(i) for i in range(1, 3 * N + 1)]
    write(tmp_path / "a.csv", c=cells, x=range(3 * N), y=CLASSES * 3)
    with pytest.raises(ConfigError) as error:
        _ = table(tmp_path, drop=["x"], **settings).splits
    assert f"line {line}, column 'c' is '{cells[line - 2]}'" in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "cells",
    [
        ["1)", "2)", "3)"],
        ["(1)", "(2)", "(3)"],
        ["(1999)", "(2000)", "(2001)"],
        ["(1,2)", "(3,4)", "(5,6)"],
        ["12 345", "56 789", "90 123"],
        ["555 123", "212 999", "030 123"],
        ["1.2.3", "1.2.4", "10.0.1"],
        ["10.0.0.1", "192.168.1.1", "8.8.8.8"],
        ["10-20", "20-30", "30+"],
    ],
)
def test_texts_of_digits_that_are_no_numbers_are_levels(cells: list[str], tmp_path: Path) -> None:
    write(tmp_path / "a.csv", c=cells * (N // 3))
    assert column(table(tmp_path, drop=["x"])).kind == "category"


@pytest.mark.parametrize(
    "cell",
    [
        "1.{0}.3",
        "14.1{0}.136.{0}",
        "+49 412 75{0}595",
        "0747 1996{0}",
        "05 62 47 37 {0}",
        "378 {0}",
        "40.90{0},7.75",
        "2,{0},3",
    ],
)
def test_columns_of_many_codes_of_digits_are_left_out(cell: str, tmp_path: Path) -> None:
    cells = [cell.format(10 + i % 90) + ("" if i < 90 else "1") for i in range(2 * N)]
    write(tmp_path / "a.csv", c=cells, x=range(2 * N), y=CLASSES * 2)
    assert "row identifiers" in overview(table(tmp_path))


@pytest.mark.parametrize(
    ("settings", "cells", "message"),
    [
        ({"decimal": "comma"}, ["1.234", "5,5"], r"'1\.234'.*data\.thousands=point"),
        ({"decimal": "comma"}, ["1.234 €", "5.678 €"], r"data\.thousands=point"),
        ({"decimal": "comma"}, [f"{i}.{i}" for i in range(1, N + 1)], "data.decimal=point for 0.5"),
        ({"decimal": "comma", "thousands": "point"}, [f"0.{i:03}" for i in range(N)], "most of its cells look like"),
    ],
)
def test_a_point_is_no_decimal_sign_beside_the_comma(
    settings: dict[str, Any], cells: list[str], message: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.csv", c=(cells * N)[:N])
    with pytest.raises(ConfigError, match=message):
        _ = table(tmp_path, drop=["x"], **settings).splits


@pytest.mark.parametrize("cell", ["1.5", "0.346", "1.234"])
def test_a_point_is_no_decimal_sign_in_prediction_either(cell: str, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", c=["1,5", "2,5", "7"] * (N // 3))
    preprocessing = saved(table(tmp_path, drop=["x"], decimal="comma"), tmp_path)
    (tmp_path / "new.csv").write_text(f"c\n{cell}\n")
    [rows] = read_batches(tmp_path / "new.csv", dialect=preprocessing.columns.dialect)
    for frame in (rows, pd.DataFrame({"c": [cell]})):
        with pytest.raises(ConfigError, match=rf"column 'c' is '{cell}', which is not a number"):
            preprocessing.transform(frame)


@pytest.mark.parametrize(
    ("settings", "cells"),
    [
        ({}, ["1,5", "2,5", "3"]),
        ({}, ["5%", "20", "7%"]),
        ({}, ["$5", "€6", "$7"]),
        ({"decimal": "comma"}, ["1.5", "2.5", "10.1"]),
        ({"decimal": "comma"}, ["1.25", "2,5", "3"]),
        ({"decimal": "comma", "thousands": "point"}, ["1.068,98", "0.346", "3"]),
    ],
)
def test_few_values_that_look_like_numbers_are_refused_unless_they_are_declared_as_levels(
    settings: dict[str, Any], cells: list[str], tmp_path: Path
) -> None:
    write(tmp_path / "a.csv", c=cells * (N // 3))
    with pytest.raises(ConfigError, match="most of its cells look like numbers"):
        _ = table(tmp_path, drop=["x"], **settings).splits
    data = table(tmp_path, drop=["x"], kinds={"c": "category"}, **settings)
    with pytest.warns(UnseenLevels, match="such as 'new'"):
        encoded = saved(data, tmp_path).transform(pd.DataFrame({"c": [cells[0], "new"]}))
    assert [row.any() for row in encoded] == [True, False]


def test_a_value_that_is_missing_may_have_another_notation(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", c=["1,5", "2,5", "-999"] * (N // 3))
    preprocessing = saved(table(tmp_path, drop=["x"], decimal="comma", missing=["-999"]), tmp_path)
    missing, other, _ = preprocessing.transform(pd.DataFrame({"c": ["-999,0", "1,5", None]}))
    np.testing.assert_array_equal(missing, _)
    assert (missing != other).any()


def test_numbers_among_texts_keep_their_value(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", c=["1.500,5", "2.500", "7"] * (N // 3))
    preprocessing = saved(table(tmp_path, drop=["x"], decimal="comma", thousands="point"), tmp_path)
    mixed = preprocessing.transform(pd.DataFrame({"c": pd.Series([1.234, "1,234", "1.234"], dtype=object)}))
    np.testing.assert_allclose(mixed, preprocessing.transform(pd.DataFrame({"c": [1.234, 1.234, 1234.0]})))


@pytest.mark.parametrize(("kind", "task"), [("number", "regression"), ("boolean", "binary"), ("category", "binary")])
def test_the_kind_of_a_target_decides_its_task(kind: str, task: str, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", y=[0, 1] * (N // 2))
    assert table(tmp_path, drop=["c"], kinds={"y": kind}).task == task


@pytest.mark.parametrize(
    ("wrong", "share", "unit"), [("-", 1, "%"), ("7€", 20, "$"), ("7", 15, "%"), ("7 USD", 20, "EUR")]
)
def test_a_cell_without_the_unit_of_the_others_is_named(wrong: str, share: int, unit: str, tmp_path: Path) -> None:
    cells = [f"{i} {unit}" for i in range(3 * N - share)] + [wrong] * share
    write(tmp_path / "a.csv", c=cells, x=range(3 * N), y=CLASSES * 3)
    with pytest.raises(ConfigError) as error:
        _ = table(tmp_path, drop=["x"]).splits
    line = 3 * N - share + 2
    assert f"line {line}, column 'c' is '{wrong}', but most of its cells look like numbers with {unit}" in str(
        error.value
    )


@pytest.mark.parametrize("labels", [["+1", "-1", "+1"], ["+1", "0", "+1"], ["+1.0", "-1.0", "1"]])
def test_labels_with_a_plus_are_classes(labels: list[str], tmp_path: Path) -> None:
    write(tmp_path / "a.csv", y=labels * (N // 3))
    data = table(tmp_path, drop=["c"])
    low = min(int(float(label)) for label in labels)
    assert data.classes == (low, 1)
    assert data.task == "binary"


def test_times_of_a_binary_file_are_predicted_from_text(tmp_path: Path) -> None:
    minutes = list(range(N))
    for kind in (pa.time32("s"), pa.duration("s")):
        write(
            tmp_path / "a.parquet",
            c=pa.array([60 * m for m in minutes], pa.int32() if kind == pa.time32("s") else pa.int64()).cast(kind),
        )
        data = table(tmp_path, "a.parquet", drop=["x"])
        preprocessing = saved(data, tmp_path)
        texts = preprocessing.transform(pd.DataFrame({"c": [f"00:{m:02}" for m in range(30)]}))
        hours = preprocessing.transform(pd.DataFrame({"c": [m / 60 for m in range(30)]}))
        np.testing.assert_allclose(texts, hours, atol=1e-6)


def test_utf_8_by_name_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + b"c,y\n" + b"1.5,a\n2,b\n3,a\n" * (N // 3))
    for encoding in ("utf-8", "UTF8", None):
        assert column(table(tmp_path, encoding=encoding)).kind == "number"


def test_an_unknown_encoding_is_one_message_from_python_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.encoding is latin-99; it must be"):
        table(tmp_path, encoding="latin-99")
