"""Errors in a file are one message that names file, column and row."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.data.table.tables import message_of, table

pytestmark = pytest.mark.usefixtures("in_tmp_path")

GOOD = [f"{i},{'ab'[i % 2]}" for i in range(40)]
QUANTITIES = [f"{i},{i}.5" for i in range(40)]
COMMAS = "x;y\n" + "".join(f"{i};{i},25\n" for i in range(40))


def lines(*changed: tuple[int, str], header: str = "x,y", rows: list[str] = GOOD) -> str:
    """Return a valid file except for the changed lines, numbered from 1."""
    text = [header, *rows]
    for number, line in changed:
        text[number - 1] = line
    return "\n".join(text) + "\n"


def with_column(name: str, values: list[str], *, n: int = 1) -> str:
    """Return the rows of a valid file, repeated `n` times, with another column."""
    return "\n".join([f"{name},x,y", *(f"{value},{row}" for value, row in zip(values, GOOD * n, strict=True))]) + "\n"


Case = tuple[str | bytes, str] | tuple[str | bytes, dict[str, Any], str]
CASES: dict[str, Case] = {  # file, settings if needed, and a part of the message
    "empty file": ("", "a.csv is empty."),
    "blank lines alone": ("\n\n", "a.csv is empty: it has no header."),
    "header alone": ("x,y\n", "a.csv holds no rows below its header."),
    "no header": ("5.1,3.5,setosa\n4.9,3,setosa\n", "a.csv has no header: its first line, '5.1,3.5,setosa'"),
    "no header, with a missing cell": ("?,3,b\n4,2,a\n5,6,b\n", "a.csv has no header"),
    "numbers as names": (
        "400,410,y\n4.9,3.5,a\n",
        "its first line, '400,410,y', holds numbers. Put a line above it that names the columns; or, if these are"
        " names, begin each of them with a letter.",
    ),
    "duplicate names": (
        lines(header="x,y,x", rows=[f"{row},1" for row in GOOD]),
        "a.csv, line 1: the columns 1 and 3 are both named 'x'",
    ),
    "target absent": (lines(), {"target": "z"}, "data.target is 'z', but a.csv has no such column. It has: x, y."),
    "no target": (lines(), {"target": None}, "data.target is null; it must name a column"),
    "a target twice": (lines(), {"target": ["y", -1]}, "it names a column twice"),
    "target index out of range": (lines(), {"target": 2}, "data.target is '2', but a.csv has no such column"),
    "one class": (lines(rows=["1,a"] * 30), "a.csv, column 'y' has fewer than two classes: every row is 'a'"),
    "one class beside texts that are missing": (
        lines(rows=["1,NA", "2,EU", "3,None"] * 20),
        "fewer than two classes: every row is 'EU' ('NA' in 20, 'None' in 20 rows counts as missing; if it is a class,"
        " set data.missing=[]). Choose another data.target.",
    ),
    "a class with fewer rows than splits": (
        lines((8, "6,c"), (9, "7,c")),
        "a.csv, line 8, column 'y': the class 'c' has 2 rows",
    ),
    "no column left": (with_column("void", [""] * 40), {"drop": ["x"]}, "a.csv has no feature column"),
    "infinite value": (lines((6, "inf,a")), "a.csv, line 6, column 'x' is inf"),
    "too large a value": (
        lines((6, "1e300,a")),
        "a.csv, line 6, column 'x' is 1e+300, which is not a finite 32-bit number",
    ),
    "a target that is the same everywhere": (
        lines(rows=[f"{i},2.5" for i in range(40)]),
        {"task": "regression"},
        "a.csv, column 'y' is constant: it is 2.5 in every row for training",
    ),
    "a column like a part of a date": (
        with_column("z,z (days)", [f"2024-01-{1 + i % 28:02},{i}" for i in range(40)]),
        "column 'z (days)' has the name of a part of the date 'z'",
    ),
    "a row without a group": (
        with_column("z", ["a", "", *"bcdefghi", *"abcdefghij" * 3]),
        {"split": "group", "split_by": "z"},
        "a.csv, line 3, column 'z' is missing; data.split=group needs it",
    ),
    "a quote that is open in the header": (lines(header='x,"y'), "line 1 opens a double quote that is never closed"),
    "a quote that is open in a row": (lines((3, '"1,b')), "a.csv, line 3 opens a double quote that is never closed"),
    "a quote that is open in the last column": (
        lines((39, '37,"b')),
        "a.csv, line 39 opens a double quote that is never closed",
    ),
    "mixed types": (
        lines((7, "many,a"), (12, "few,b")),
        "a.csv, line 7, column 'x' is 'many', but 38 of 40 cells are numbers. Correct or empty the other 2 cells",
    ),
    "numbers and words": (
        with_column("z", [f"{i}.5" if i % 3 else f"none{i}" for i in range(80)], n=2),
        "a.csv, line 2, column 'z' is 'none0', but most of its cells look like numbers.",
    ),
    "a target with decimal commas": (
        COMMAS,
        "a.csv, line 2, column 'y' is '0,25', but most of its cells look like numbers. Write all numbers like"
        " -1234.5, or set data.decimal=comma for 1234,5 and data.thousands=point for 1.234,5, and empty the other"
        " cells; or set data.task=multiclass.",
    ),
    "a regression with decimal commas": (
        COMMAS,
        {"task": "regression"},
        "line 2, column 'y' is '0,25', which is not a number. If it is a decimal comma, train with data.decimal=comma.",
    ),
    "a target of dates": (
        lines(rows=[f"{i},{1 + i % 28:02}.{1 + i // 28:02}.2024" for i in range(40)]),
        "a.csv, line 2, column 'y' holds dates, which can't be predicted. Choose another data.target",
    ),
    "a count with few rows of one number": (
        lines((8, "6,7"), (9, "7,7"), rows=[f"{i},{i % 3}" for i in range(40)]),
        "the class '7' has 2 rows, 1 of them for training; it needs at least 3 rows, and one for training."
        " Give more such rows, or set data.rare_classes=drop or other. If these numbers are a quantity, set"
        " data.task=regression.",
    ),
    "thousands with a comma in a column of few values": (
        with_column("z", [f'"{i:,}"' for i in range(980, 1020)] * 2, n=2),
        "a.csv, line 22, column 'z' is '1,000', but most of its cells look like numbers. Write all numbers like"
        " -1234.5, or set data.thousands=comma, or, if it is a decimal comma, data.decimal=comma",
    ),
    "two currencies": (
        with_column("z", [f"{'$€'[i % 2]}{i}" for i in range(80)], n=2),
        "a.csv, line 3, column 'z' is '€1', but most of its cells look like numbers with $.",
    ),
    "rare classes but one": (
        lines((8, "6,c"), rows=[f"{i},a" for i in range(40)]),
        {"rare_classes": "drop"},
        "data.rare_classes is drop, which leaves one class of 'y'. Give more rows of others.",
    ),
    "rare classes that are few together": (
        lines((8, "6,c"), (9, "7,d")),
        {"rare_classes": "other"},
        "the class 'other' has 2 rows",
    ),
    "times with and without a zone": (
        with_column("t", [f"2024-01-{1 + i % 28:02} 10:30{'Z' if i else ''}" for i in range(40)]),
        "a.csv, line 2, column 't' is '2024-01-01 10:30', which has no time zone, but other times of this column"
        " have one.",
    ),
    "dates of two kinds": (
        with_column("z", [f"20{i:02}-01-01" if i % 2 else f"01.01.20{i:02}" for i in range(80)], n=2),
        "a.csv, line 2, column 'z' is '01.01.2000', but most of its cells look like dates.",
    ),
    "a quantity with words": (
        "x,y\n" + "".join(f"{i},{f'{i}.5' if i % 3 else 'none'}\n" for i in range(60)),
        "a.csv, line 2, column 'y' is 'none', but 40 of 60 cells are numbers.",
    ),
    "a number as Python writes it": (
        with_column("z", ["1_0", *map(str, range(39))]),
        {"kinds": {"z": "number"}},
        "a.csv, line 2, column 'z' is '1_0', which is not a number.",
    ),
    "mixed types behind a cell of two lines": (
        with_column("note", ['"two\nlines"', *["one"] * 39]).replace("one,4,", "one,few,"),
        "a.csv, line 7, column 'x' is 'few'",
    ),
    "wrong encoding": (lines((9, "1,ä")).encode("latin1"), "a.csv, line 9 is not UTF-8 text: byte 0xe4 after '1,'"),
    "an encoding that does not fit": (
        lines((9, "1,ä")).encode("latin1"),
        {"encoding": "ascii"},
        "a.csv is not ascii: data.encoding is ascii. Correct it.",
    ),
    "wrong encoding in the header": ("ä,y\n1,2\n".encode("latin1"), "a.csv, line 1 is not UTF-8 text"),
    "UTF-16": ("x,y\n1,2\n".encode("utf-16"), "a.csv is UTF-16. Set data.encoding=utf-16."),
    "compressed": (gzip.compress(lines().encode()), "a.csv is compressed by gzip. Name it a.csv.gz."),
    "a quote without an end": (lines((3, '1,"a')) + "x" * 200_000, "a.csv"),
    "ragged": (lines((5, "3")), "a.csv, line 5 has 1 cells, but the header names 2 columns"),
    "0 rows left": (
        lines(rows=["1,"] * 30),
        {"task": "regression"},
        "a.csv has no rows left: the target 'y' is missing",
    ),
    "regression target with text": (
        lines((4, "1,high"), rows=QUANTITIES),
        {"task": "regression"},
        "a.csv, line 4, column 'y' is 'high', which is not a number",
    ),
    "a target that is mostly numbers": (
        lines((4, "1,high"), rows=QUANTITIES),
        "a.csv, line 4, column 'y' is 'high', but 39 of 40 cells are numbers",
    ),
    "cells that the task makes classes": (
        lines((4, "1,high"), rows=[f"{i},{i % 4}" for i in range(40)]),
        {"task": "multiclass"},
        "a.csv, line 4, column 'y': the class 'high' has 1 rows",
    ),
    "a date among dates that is none": (
        with_column(
            "t", ["01.02.2024"] * 5 + [f"{i + 10}.03.2024" for i in range(20)] + ["soon"] + ["07.08.2024"] * 14
        ),
        "a.csv, line 27, column 't' is 'soon', which is not a date in the format of this column",
    ),
    "more classes than binary has": (
        lines(rows=[f"{i},{'abc'[i % 3]}" for i in range(40)]),
        {"task": "binary"},
        "data.task is binary, but a.csv, column 'y' has 3 classes: a, b, c",
    ),
    "several targets that are classes": (
        lines(),
        {"target": ["x", "y"], "task": "multiclass"},
        "data.task is multiclass, but data.target names 2 columns",
    ),
    "unknown column to drop": (lines(), {"drop": ["z"]}, "data.drop names 'z', but a.csv has no such column"),
    "unknown column of a kind": (
        lines(),
        {"kinds": {"z": "number"}},
        "data.kinds names 'z', but a.csv has no such column",
    ),
    "a number that is said to be a date": (
        lines(),
        {"kinds": {"x": "date"}},
        "line 2, column 'x' is '0', which is not a",
    ),
    "a text that is said to be a number": (
        with_column("t", ["7", "b", *["c"] * 38]),
        {"kinds": {"t": "number"}},
        "a.csv, line 3, column 't' is 'b', which is not a number",
    ),
    "group column absent": (
        lines(),
        {"split": "group", "split_by": "g"},
        "data.split_by is 'g', but a.csv has no such",
    ),
    "group column not named": (
        lines(),
        {"split": "group"},
        "data.split is group, so data.split_by must name the column",
    ),
    "a column that no split asks for": (
        lines(),
        {"split_by": "x"},
        "data.split_by is 'x', but data.split is stratified",
    ),
    "unknown split": (
        with_column("s", ["train", "test", "later", *["val"] * 37]),
        {"split": "column", "split_by": "s"},
        "a.csv, line 4, column 's' is 'later'; with data.split=column it must be train, val or test",
    ),
    "no time": (
        with_column("t", ["2020-01-01", "", *["2020-01-03"] * 38]),
        {"split": "time", "split_by": "t"},
        "a.csv, line 3, column 't' is missing; data.split=time needs it",
    ),
    "a split without rows": (
        with_column("g", ["one"] * 40),
        {"split": "group", "split_by": "g"},
        "a.csv: no row is left for train and val (train 0, val 0, test 40)",
    ),
    "stratified values": (
        lines(rows=QUANTITIES),
        {"split": "stratified"},
        "data.split is stratified, which needs classes",
    ),
    "fractions that leave nothing": (
        lines(),
        {"val_fraction": 0.5, "test_fraction": 0.5},
        "so no row is left to train",
    ),
    "a test file without a column": (lines(), {"test_path": "b.csv"}, "b.csv has no column 'x', which a.csv has"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_error_in_a_table_is_one_message(case: Case, tmp_path: Path) -> None:
    content, *given, message = case
    settings: Any = given[0] if given else {}
    Path("a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    Path("b.csv").write_text("u,y\n1,a\n")
    assert message in message_of(table(tmp_path, **settings))
    assert [path.name for path in Path("cache").glob("a-*")] == []


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    Path("a.xlsx").write_text("x")
    Path("folder.csv").mkdir()
    Path("a.parquet").write_text("no parquet")
    Path("a.csv.gz").write_text("no gzip")
    Path("a.csv").write_text(lines())
    assert message_of(table(tmp_path, "none.csv")) == "data.path: none.csv does not exist."
    assert message_of(table(tmp_path, test_path="none.csv")) == "data.test_path: none.csv does not exist."
    assert message_of(table(tmp_path, "folder.csv")) == "data.path: folder.csv is not a file."
    assert "a.xlsx has an unknown extension; it must be one of .csv" in message_of(table(tmp_path, "a.xlsx"))
    assert "a.parquet can't be read" in message_of(table(tmp_path, "a.parquet"))
    assert "a.csv.gz can't be read" in message_of(table(tmp_path, "a.csv.gz"))


def test_rows_of_a_binary_file_are_counted_from_0(tmp_path: Path) -> None:
    pd.DataFrame({"x": [1.0, 2.0, np.inf, *[0.0] * 37], "y": [*"ab"] * 20}).to_parquet("a.parquet")
    assert "a.parquet, row 2 (counted from 0), column 'x' is inf" in message_of(table(tmp_path, "a.parquet"))


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}])
@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({}, "Leave it out: data.drop=[z]."),
        ({"kinds": {"z": "category"}}, "Leave it out: data.drop=[z]."),
        ({"kinds": {"z": "boolean"}}, "Leave it out: data.drop=[z]."),
        ({"target": "z"}, "Choose another column."),
        ({"target": "z", "task": "regression"}, "Choose another column."),
        ({"split": "group", "split_by": "z"}, "Choose another column."),
    ],
)
def test_nested_values_are_refused(value: Any, settings: dict[str, Any], remedy: str, tmp_path: Path) -> None:
    pd.DataFrame({"x": range(40), "y": [*"ab"] * 20, "z": [value] * 40}).to_parquet("a.parquet")
    message = message_of(table(tmp_path, "a.parquet", **settings))
    assert message.startswith("a.parquet, row 0 (counted from 0), column 'z' holds ")
    assert message.endswith(f"which is neither a number nor a text. {remedy}")
