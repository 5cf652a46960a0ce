"""Functions that run train.py as a user does, in a separate process and an empty folder."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

ROOT = Path(__file__).parents[1]

TINY = ("data=synthetic", "data.n_samples=200", "data.n_features=8", "data.n_classes=2")
SMALL = (*TINY, "trainer.max_epochs=2")
FIXED = ("model.n_layers=1", "model.dropout_rate=0.1", "optimizer.lr=0.01", "optimizer=adam", "data.batch_size=32")
FAULTY = "model._target_=faulty.FaultyClassifier"
TRUST = {"LIGHTSWEEP_TRUST": "faulty.*"}


class Ran(NamedTuple):
    code: int
    out: str
    err: str


def train(*arguments: str, cwd: Path, **env: str) -> Ran:
    process = start(*arguments, cwd=cwd, **env)
    out, err = process.communicate(timeout=240)
    return Ran(process.returncode, out, err)


def succeed(*arguments: str, cwd: Path, **env: str) -> Ran:
    """Run it and check that the exit code is 0."""
    ran = train(*arguments, cwd=cwd, **env)
    assert ran.code == 0, ran.err
    return ran


def start(*arguments: str, cwd: Path, **env: str) -> subprocess.Popen[str]:
    """Start it. A search confirms nothing unless the arguments say so, because that takes most of its time."""
    if any(argument.startswith("hparams_search=") for argument in arguments) and "confirm" not in str(arguments):
        arguments = (*arguments, "confirm=off")
    path = os.pathsep.join(filter(None, [str(ROOT / "tests"), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def send_once_running(process: subprocess.Popen[str], signum: signal.Signals, *, cwd: Path, n_finished: int) -> None:
    """Send a signal when the search has finished `n_finished` trials."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any(len(table.read_text().splitlines()) > n_finished for table in cwd.glob("outputs/*/*/trials.csv")):
            break
        time.sleep(0.05)
    process.send_signal(signum)


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open() as file:
        return list(csv.DictReader(file))


def the_folder(cwd: Path) -> Path:
    """Return the folder of the only search below `cwd`."""
    [folder] = (cwd / "outputs").glob("mlp/*")
    return folder


def study_in(folder: Path, journal: str = "study.journal") -> optuna.Study:
    return optuna.load_study(study_name="mlp", storage=JournalStorage(JournalFileBackend(str(folder / journal))))
