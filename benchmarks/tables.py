"""From a CSV file to predictions by two commands, beside a default random forest: python benchmarks/tables.py

scikit-learn's bundled tables, written to CSV. Both learn from the same training and validation rows and are measured
on the same test rows: a search with `train.py`, whose shipped model predicts with `lightsweep.predict`; and
RandomForestClassifier or RandomForestRegressor with no setting but a seed. `--save` keeps the table of all of them as
benchmarks/tables.md.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from omegaconf import OmegaConf
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from lightsweep.data.reading.dialect import Dialect
from lightsweep.data.reading.frames import read_frame
from lightsweep.data.table.labels import encode, find_target, is_missing
from lightsweep.data.table.source import Table, TableSettings
from lightsweep.data.table.splitting import TEST, split_rows

HERE = Path(__file__).resolve().parent
TARGET = "target"
# The same for every table.
SEARCH = ["hparams_search=table", "trainer=cpu"]
FOR_REGRESSION = ["monitor=val/rmse"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """`goal`: by how much the median may be worse, in points of accuracy or as a share of the RMSE."""

    name: str
    load: Any
    is_regression: bool = False

    @property
    def goal(self) -> float:
        return 0.05 if self.is_regression else 0.02

    def frame(self) -> pd.DataFrame:
        """The features under their names and the target; classes by their names."""
        loaded = self.load(as_frame=True)
        frame: pd.DataFrame = loaded.frame
        if not self.is_regression:
            frame[TARGET] = np.asarray(loaded.target_names)[frame[TARGET]]
        return frame

    def worse(self, pair: "Pair") -> float:
        """By how much ours is worse on the same split: some splits are harder than others."""
        return pair.ours / pair.forest - 1 if self.is_regression else pair.ours - pair.forest

    def error(self, actual: pd.Series, predicted: Any) -> float:
        """The RMSE, or the share of wrong classes."""
        if self.is_regression:
            return float(np.sqrt(np.mean((np.asarray(actual) - np.asarray(predicted)) ** 2)))
        return float(np.mean(np.asarray(actual) != np.asarray(predicted)))


DATASETS = (
    Dataset(name="iris", load=load_iris),
    Dataset(name="wine", load=load_wine),
    Dataset(name="breast cancer", load=load_breast_cancer),
    Dataset(name="diabetes", load=load_diabetes, is_regression=True),
)


@dataclass(frozen=True, kw_only=True)
class Pair:
    ours: float
    forest: float
    seconds: float


def measure(dataset: Dataset, *, seed: int, folder: Path, search: Sequence[str]) -> Pair:
    """Both errors on the test rows of this seed, and how long the two commands took."""
    frame = dataset.frame()
    frame.to_csv(folder / "table.csv", index=False)
    is_test = test_rows(folder / "table.csv", seed=seed)
    frame[is_test].drop(columns=TARGET).to_csv(folder / "new.csv", index=False)
    started = time.monotonic()
    train(dataset, seed=seed, folder=folder, search=search)
    run("-m", "lightsweep.predict", "search/best", "new.csv", "-o", "predictions.csv", folder=folder)
    seconds = time.monotonic() - started
    predicted = pd.read_csv(folder / "predictions.csv")[TARGET]
    actual = frame.loc[is_test, TARGET]
    forest = forest_of(dataset, seed).fit(frame[~is_test].drop(columns=TARGET), frame.loc[~is_test, TARGET])
    by_forest = forest.predict(frame[is_test].drop(columns=TARGET))
    return Pair(ours=dataset.error(actual, predicted), forest=dataset.error(actual, by_forest), seconds=seconds)


def test_rows(path: Path, *, seed: int) -> npt.NDArray[np.bool_]:
    """Which rows `data=table` keeps for the test, found by the functions that it uses."""
    table = Table(path.name, read_frame(path), lambda row: f"row {row}")
    target = find_target([table], names=(TARGET,), task=None)
    y = encode(table, target)
    shipped = OmegaConf.load(HERE.parent / "conf" / "data" / "table.yaml")
    settings = TableSettings(
        target=TARGET,
        task=None,
        split=None,
        val_fraction=shipped.val_fraction,
        test_fraction=shipped.test_fraction,
        scale=shipped.scale,
        dialect=Dialect(),
        seed=seed,
        refit=False,
    )
    is_test: npt.NDArray[np.bool_] = split_rows(table, y, ~is_missing(y), target=target, settings=settings) == TEST
    return is_test


def train(dataset: Dataset, *, seed: int, folder: Path, search: Sequence[str]) -> None:
    data = ["data=table", "data.path=table.csv", f"data.target={TARGET}", f"seed={seed}"]
    metric = FOR_REGRESSION if dataset.is_regression else []
    run(str(HERE.parent / "train.py"), "-m", *data, *search, *metric, "hydra.sweep.dir=search", folder=folder)


def run(*arguments: str, folder: Path) -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"{' '.join(arguments)} ended with {ran.returncode}:\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}")


def forest_of(dataset: Dataset, seed: int) -> Any:
    return (RandomForestRegressor if dataset.is_regression else RandomForestClassifier)(random_state=seed)


def line(dataset: Dataset, pairs: Sequence[Pair]) -> str:
    ours, forest = (statistics.median(getattr(pair, name) for pair in pairs) for name in ("ours", "forest"))
    worse = statistics.median(dataset.worse(pair) for pair in pairs)
    verdict = "reached" if worse <= dataset.goal + 1e-9 else "missed"
    if dataset.is_regression:
        shown = f"RMSE | {ours:.2f} | {forest:.2f} | {worse:+.1%}"
    else:
        shown = f"accuracy | {1 - ours:.3f} | {1 - forest:.3f} | {-100 * worse:+.1f} points"
    rest = f"{'≤ +5 %' if dataset.is_regression else '≥ -2 points'} | {verdict}"
    seconds = statistics.median(pair.seconds for pair in pairs)
    return f"| {dataset.name} | {len(dataset.frame())} | {shown} | {rest} | {seconds:.0f} s |"


HEADER = """\
| table | rows | metric | Lightsweep | RandomForest | difference on the same split | goal | | both commands |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[dataset.name for dataset in DATASETS])
    parser.add_argument("--save", action="store_true", help="keep the table in benchmarks/tables.md")
    parser.add_argument("search", nargs="*", default=SEARCH, help="overrides of train.py in place of the usual ones")
    arguments = parser.parse_args()
    lines = []
    for dataset in (one for one in DATASETS if one.name in arguments.only):
        pairs = []
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                pairs.append(measure(dataset, seed=seed, folder=Path(folder), search=arguments.search))
            print(f"{dataset.name}, seed {seed}: {pairs[-1]}", file=sys.stderr, flush=True)
        lines.append(line(dataset, pairs))
        print(lines[-1], flush=True)
    if arguments.save and len(lines) == len(DATASETS):
        command = f"train.py -m data=table data.path=table.csv data.target={TARGET} {' '.join(arguments.search)}"
        text = f"{HEADER}\n{chr(10).join(lines)}\n\nMedians over {arguments.seeds} seeds of the split,"
        text += f" each column by itself. `{command}`,"
        text += f" for the regression also {' '.join(FOR_REGRESSION)}.\n"
        (HERE / "tables.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
