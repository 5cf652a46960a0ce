"""Predictions of raw rows: of models refitted on a mixed table with missing values or on arrays, and by the command."""

import gzip
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

import lightsweep
import lightsweep.predict
from lightsweep.config.targets import RENAMED_TARGETS
from lightsweep.data.preprocessing import ArrayPreprocessing
from lightsweep.data.splits import Scaler
from lightsweep.data.target import Target
from lightsweep.errors import ConfigError
from lightsweep.export.predictor import Predictor
from lightsweep.predict import main, predict_file, table_of
from lightsweep.task import Task
from tests.refit import refit

N = 300
FEATURES = ["age", "plan", "city", "since", "member"]


def customers(n: int = N) -> pd.DataFrame:
    """Return numeric, categorical, date and boolean features with a fifth of the values missing, and two targets."""
    rng = np.random.default_rng(0)
    age, plan = rng.integers(18, 80, n), rng.choice(["basic", "pro", "a|b <i>"], n)
    days = pd.to_timedelta(rng.integers(0, 1500, n), unit="D")
    frame = pd.DataFrame(
        {
            "age": age,
            "plan": plan,
            "city": rng.choice([f"city {i}" for i in range(30)], n),
            "since": (pd.Timestamp("2020-01-01") + days).strftime("%Y-%m-%d"),
            "member": rng.choice([True, False], n),
        }
    ).astype(object)
    score = (age - 45) / 15 + 2.0 * (plan == "pro")
    frame = frame.mask(rng.random(frame.shape) < 0.2)
    return frame.assign(churned=np.where(score > 0, "yes", "no"), spent=1000 + 100 * score)


@pytest.fixture(scope="module")
def table_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that predicts `churned`. The training table is deleted."""
    folder = tmp_path_factory.mktemp("table")
    customers().to_csv(folder / "customers.csv", index=False)
    refit(
        folder / "best",
        "data=table",
        f"data.path={folder / 'customers.csv'}",
        "data.target=churned",
        "data.drop=[spent]",
        f"data.cache={folder / 'cache'}",
        "trainer.max_epochs=15",
        "optimizer.lr=0.01",
    )
    (folder / "customers.csv").unlink()
    shutil.rmtree(folder / "cache")
    return folder / "best"


@pytest.fixture(scope="module")
def model(table_model: Path) -> Predictor:
    return lightsweep.load(table_model)


@pytest.fixture
def rows() -> pd.DataFrame:
    return customers()[FEATURES]


def test_a_mixed_table_with_missing_values_is_learned(model: Predictor, rows: pd.DataFrame) -> None:
    assert model.classes == ("no", "yes")
    assert (model.predict(rows) == customers()["churned"]).mean() > 0.8
    assert model.metrics["test/acc"] > 0.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns=["age", "city"]), "no column 'age' and no column 'city'"),
        (lambda rows: rows.assign(age=["old"] + [1] * (N - 1)), r"row 0 .*, column 'age' is 'old'"),
        (lambda rows: rows.assign(member=["perhaps"] * N), r"row 0 .*, column 'member' is 'perhaps'"),
        (lambda rows: rows.assign(since=["soon"] * N), r"row 0 .*, column 'since' is 'soon'"),
        (lambda rows: rows.assign(city=[["a"]] * N), r"row 0 .*, column 'city' holds list<.*neither a number nor"),
        (lambda rows: rows.assign(plan=[{"a": 1}] * N), r"row 0 .*, column 'plan' holds struct<"),
        (lambda rows: rows.assign(plan=["pro", ["pro", "a"]] * (N // 2)), r"row 1 .*, column 'plan' holds list"),
        (lambda rows: rows.assign(city=[1j] * N), r"row 0 .*, column 'city' holds complex"),
        (lambda rows: rows.assign(city=pd.period_range("2020", periods=N)), r"row 0 .*, column 'city' holds extension"),
        (lambda rows: rows.to_numpy(), "rows are of type ndarray; this model takes a pandas DataFrame"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], message: str, model: Predictor, rows: pd.DataFrame
) -> None:
    with pytest.raises(ConfigError, match=message):
        model.predict(change(rows))


def test_a_table_of_another_library_is_taken(model: Predictor, rows: pd.DataFrame) -> None:
    np.testing.assert_array_equal(model.predict(pa.Table.from_pandas(rows)), model.predict(rows))


def test_no_rows_give_no_predictions(model: Predictor, rows: pd.DataFrame) -> None:
    assert model.predict_proba(rows.head(0)).shape == (0, 2)


def test_the_card_lists_the_columns_by_kind(table_model: Path) -> None:
    card = (table_model / "model_card.md").read_text()
    for line in ("| category | 2 | plan, city |", "| boolean | 1 | member |", "| date | 1 | since |", "| test | 60 |"):
        assert line in card


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("output", ["out.csv", "out.parquet"])
def test_a_file_is_predicted_in_batches(
    ending: str, output: str, table_model: Path, model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lightsweep.predict, "BATCH_ROWS", 100)
    rows = customers()[FEATURES]
    path = tmp_path / f"new{ending}"
    if ending == ".parquet":
        rows = rows.astype({"age": float})
        rows.to_parquet(path)
    else:
        rows.to_csv(path, index=False)
    assert predict_file(table_model, path, tmp_path / output) == N
    read = pd.read_csv(tmp_path / output) if output.endswith(".csv") else pd.read_parquet(tmp_path / output)
    assert list(read) == ["churned", "probability_no", "probability_yes"]
    assert read["churned"].tolist() == model.predict(rows).tolist()
    np.testing.assert_allclose(read.iloc[:, 1:], model.predict_proba(rows), atol=1e-6)
    assert {p.name for p in tmp_path.iterdir()} == {path.name, output}


Command = Callable[..., str]


@pytest.fixture
def error_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command with arguments that it refuses, and return its error output."""

    def refused(model: Path, *arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["predict", str(model), *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_code:
            main()
        assert exit_code.value.code == 1
        output = capsys.readouterr()
        assert output.out == ""
        return output.err

    return refused


HEADER = "age,plan,city,since,member\n"
GOOD = "30,pro,city 1,2021-05-01,True\n"


@pytest.mark.parametrize(
    ("text", "output", "message"),
    [
        (HEADER + GOOD * 3 + "old,pro,city 1,2021-05-01,True\n", "out.csv", "new.csv, line 5, column 'age' is 'old'"),
        ("age,plan\n30,pro\n", "out.csv", "new.csv: the table has no column 'city' and no column 'since'"),
        (HEADER + GOOD + "1,2\n", "out.csv", "new.csv, line 3 has 2 cells"),
        ("", "out.csv", "new.csv is empty"),
        (HEADER + GOOD, "out.xlsx", "-o is .*out.xlsx; its name must end in .csv or .parquet"),
        (HEADER + GOOD, "new.csv", "-o is .*new.csv, which holds the rows to predict"),
        (HEADER + GOOD, "nowhere/out.csv", "nowhere must be a folder that exists"),
    ],
)
def test_data_that_can_not_be_predicted_is_one_error_and_leaves_no_file(
    text: str,
    output: str,
    message: str,
    table_model: Path,
    error_of: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "new.csv").write_text(text)
    monkeypatch.setattr(lightsweep.predict, "BATCH_ROWS", 2)
    error = error_of(table_model, tmp_path / "new.csv", "-o", tmp_path / output)
    assert re.search(f"^error: .*{message}", error)
    assert (tmp_path / "new.csv").read_text() == text
    assert len(list(tmp_path.iterdir())) == 1


def test_lists_in_a_file_are_reported_with_its_name(
    table_model: Path, rows: pd.DataFrame, error_of: Command, tmp_path: Path
) -> None:
    path = tmp_path / "new.parquet"
    rows.assign(city=[["a"]] * N).to_parquet(path)
    error = error_of(table_model, path, "-o", tmp_path / "out.csv")
    assert "new.parquet, row 0 (counted from 0), column 'city' holds list" in error


def test_levels_that_training_has_not_seen_are_one_warning_for_all_batches(
    table_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new.csv").write_text(HEADER + GOOD.replace("city 1", "CITY 1") * 40)
    monkeypatch.setattr(lightsweep.predict, "BATCH_ROWS", 20)
    monkeypatch.setattr(
        sys, "argv", ["predict", str(table_model), str(tmp_path / "new.csv"), "-o", str(tmp_path / "o.csv")]
    )
    main()
    output = capsys.readouterr()
    assert output.out.startswith("40 predictions")
    assert output.err.startswith("warning: 40 of 40 cells of the column 'city' are levels that training has not seen, ")
    assert output.err.count("\n") == 1


def test_a_wrong_path_is_said_before_libraries_are_loaded(tmp_path: Path) -> None:
    code = """
import sys
from lightsweep.predict import main
sys.argv = ["predict", "model", "none.csv"]
try:
    main()
except SystemExit:
    print({"pandas", "sklearn", "torch"} & sys.modules.keys())
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stderr == "error: none.csv is not a file; give the rows to predict as a table or an array.\n"
    assert ran.stdout == "set()\n"


def test_a_missing_file_is_reported(table_model: Path, error_of: Command, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    assert "new.csv is not a file" in error_of(table_model, new)
    new.write_text(HEADER + GOOD)
    assert "holds no model.pt, so it is not the folder of an exported model" in error_of(tmp_path, new)


def test_an_existing_output_is_replaced_only_after_all_rows_are_predicted(table_model: Path, tmp_path: Path) -> None:
    new, out = tmp_path / "new.csv", tmp_path / "out.csv"
    out.write_text("earlier")
    new.write_text(HEADER + GOOD.replace("30", "old"))
    with pytest.raises(ConfigError):
        predict_file(table_model, new, out)
    assert out.read_text() == "earlier"
    new.write_text(HEADER + GOOD)
    predict_file(table_model, new, out)
    assert len(out.read_text().splitlines()) == 2


IDENTITY = ArrayPreprocessing(Scaler(mean=np.zeros(2, np.float32), std=np.ones(2, np.float32)))


@pytest.mark.parametrize("names", [("price",), ("price", "weight")])
def test_a_regression_predicts_in_the_unit_of_its_targets(names: tuple[str, ...]) -> None:
    n = len(names)
    scaler = Scaler(mean=np.full(n, 500, dtype=np.float32), std=np.full(n, 10, dtype=np.float32))
    model = Predictor(
        model=nn.Linear(2, n, bias=False),
        preprocessing=IDENTITY,
        target=Target(task=Task.REGRESSION, names=names, scaler=scaler),
        metrics={},
    )
    values = model.predict([[0.0, 0.0]] * 3)
    assert values.tolist() == ([500] * 3 if n == 1 else [[500, 500]] * 3)
    assert table_of(model, model.outputs([[0.0, 0.0]])).to_dict("list") == {name: [500] for name in names}
    with pytest.raises(ConfigError, match="a regression, which has no probabilities"):
        model.predict_proba([[0.0, 0.0]])


def test_a_target_named_like_a_probability_column_keeps_its_name() -> None:
    model = Predictor(
        model=nn.Identity(),
        preprocessing=IDENTITY,
        target=Target(task=Task.BINARY, names=("probability_p",), classes=("p", "q")),
        metrics={},
    )
    table = table_of(model, np.array([[0.25, 0.75]], dtype=np.float32))
    assert table.to_dict("list") == {
        "probability_p": ["q"],
        "probability_probability_p_p": [0.25],
        "probability_probability_p_q": [0.75],
    }


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "best"
    refit(folder, "trainer.max_epochs=1")
    return folder


@pytest.mark.parametrize("name", ["new.npy", "new.npz"])
def test_a_model_of_arrays_takes_arrays(
    name: str, digits_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lightsweep.predict, "BATCH_ROWS", 4)
    x = np.arange(9 * 64).reshape(9, 64) % 17
    np.save(tmp_path / name, x) if name.endswith(".npy") else np.savez(tmp_path / name, x=x)
    predict_file(digits_model, tmp_path / name, tmp_path / "out.csv")
    read = pd.read_csv(tmp_path / "out.csv")
    model = lightsweep.load(digits_model)
    assert read["target"].tolist() == model.predict(x).tolist()
    assert model.predict(x[:0]).shape == (0,)
    assert list(read)[1:] == [f"probability_{i}" for i in range(10)]


def test_a_model_with_the_target_name_of_an_earlier_version_is_loaded(
    digits_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "best"
    shutil.copytree(digits_model, folder)
    config = OmegaConf.load(folder / "config.yaml")
    monkeypatch.setitem(RENAMED_TARGETS, "lightsweep.before.MLP", config.model._target_)
    config.model._target_ = "lightsweep.before.MLP"
    OmegaConf.save(config, folder / "config.yaml")
    assert lightsweep.load(folder).classes == lightsweep.load(digits_model).classes


def test_a_model_of_an_array_file_takes_arrays_of_the_same_shape(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 2, 2)).astype(np.float32)
    x[:, 0, 1] = np.nan  # an empty column is dropped
    y = np.where(x[:, 1, 1] > 0, "up", "down")
    np.savez(tmp_path / "train.npz", x=x, y=y)
    data = ("data=arrays", f"data.path={tmp_path / 'train.npz'}", f"data.cache={tmp_path / 'cache'}")
    refit(tmp_path / "best", *data, "trainer.max_epochs=20", "optimizer.lr=0.01")
    model = lightsweep.load(tmp_path / "best")
    labels = model.predict(x)
    assert (labels == y).mean() > 0.8
    np.save(tmp_path / "new.npy", x)
    predict_file(tmp_path / "best", tmp_path / "new.npy", tmp_path / "out.csv")
    assert pd.read_csv(tmp_path / "out.csv")["y"].tolist() == labels.tolist()
    assert model.predict(pd.DataFrame(x.reshape(90, 4))).tolist() == labels.tolist()
    for other in (x[:, 0], np.pad(x, ((0, 0), (0, 0), (1, 0)))):
        with pytest.raises(ConfigError, match=r"this model takes \(n, 4\)"):
            model.predict(other)


def test_a_regression_with_every_embedding_is_exported(tmp_path: Path) -> None:
    """Loaded model, command and torch.export file agree, in the unit of the targets."""
    table = customers(400).assign(twice=lambda frame: frame["spent"] * 2 + 7)
    table.to_csv(tmp_path / "customers.csv", index=False)
    refit(
        tmp_path / "best",
        "data=table",
        f"data.path={tmp_path / 'customers.csv'}",
        "data.target=[spent,twice]",
        "data.drop=[churned]",
        f"data.cache={tmp_path / 'cache'}",
        "monitor=val/rmse",
        "model.number_embedding=piecewise_linear",
        "model.layer_sizes=[32,32]",
        "model.residual=true",
        "model.normalization=batch",
        "export=[torch]",
        "trainer.max_epochs=10",
        "optimizer.lr=0.01",
    )
    model = lightsweep.load(tmp_path / "best")
    values = model.predict(table)
    assert values.shape == (400, 2)
    assert np.corrcoef(values[:, 0], table["spent"])[0, 1] > 0.8
    card = (tmp_path / "best" / "model_card.md").read_text()
    assert "residuals.svg" in card
    assert "- model.pt2: at most" in card
    predict_file(tmp_path / "best", tmp_path / "customers.csv", tmp_path / "out.csv")
    written = pd.read_csv(tmp_path / "out.csv")
    np.testing.assert_allclose(written[["spent", "twice"]], values, rtol=1e-4)
    exported = torch.export.load(tmp_path / "best" / "model.pt2").module()
    x = torch.from_numpy(model.preprocessing.transform(table))
    np.testing.assert_allclose(exported(x).numpy(force=True), values, rtol=1e-3, atol=0.1)


def test_tables_and_arrays_are_refused_by_a_model_of_the_other(
    digits_model: Path, table_model: Path, tmp_path: Path
) -> None:
    table, array = tmp_path / "new.csv", tmp_path / "new.npy"
    table.write_text(HEADER + GOOD)
    np.save(array, np.zeros((2, 5)))
    (tmp_path / "none.npy").write_bytes(gzip.compress(b"no array"))
    for model, rows, message in (
        (digits_model, table, "trained on an array and takes one"),
        (table_model, array, "trained on a table and needs its column names"),
        (digits_model, array, r"the rows have the shape \(2, 5\); this model takes \(n, 64\)"),
        (digits_model, tmp_path / "none.npy", "can't be read as an array"),
    ):
        with pytest.raises(ConfigError, match=message):
            predict_file(model, rows, tmp_path / "out.csv")
