"""What a training records of its environment."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightsweep.data.splits import Scaler, Splits
from lightsweep.storage.password import VARIABLE
from lightsweep.training import environment, train
from lightsweep.training.environment import DIFF, ENVIRONMENT, MAX_DIFF, read_environment
from tests.refit import run

TINY = ("data=synthetic", "data.n_samples=200", "data.n_features=8", "data.n_classes=2", "trainer.max_epochs=1")
URL = "postgresql://me:s3cr3t@host/db"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one commit, which the trainings of a test take for that of their code."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "model.py").write_text("1\n")
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(environment, "_code_folder", lambda: folder)
    return folder


def test_a_run_records_its_versions_device_threads_seed_data_and_time(repository: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", *TINY, "seed=7", "threads=2")
    record = json.loads((tmp_path / "run" / ENVIRONMENT).read_text())
    assert record["versions"]["torch"] == torch.__version__
    assert (record["device"], record["threads"], record["seed"]) == ("cpu", 2, 7)
    assert record["device_name"].endswith(f"({torch.backends.cpu.get_cpu_capability()})")
    assert record["data"].startswith("128 + 32 rows, checksum ")
    assert record["started"] < record["ended"]
    assert (len(record["commit"]), record["changes"]) == (40, None)
    assert not (tmp_path / "run" / DIFF).exists()


def test_a_training_that_raises_has_its_end_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: Any, **__: Any) -> None:
        assert (read_environment(tmp_path / "run") or {})["ended"] is None
        raise RuntimeError("it broke")

    monkeypatch.setattr(train, "_fit", fit)
    with pytest.raises(RuntimeError, match="it broke"):
        run(tmp_path / "run", *TINY)
    assert (read_environment(tmp_path / "run") or {})["ended"]


def test_a_dry_run_records_nothing(tmp_path: Path) -> None:
    run(tmp_path / "run", *TINY, "+trainer.fast_dev_run=2")
    assert read_environment(tmp_path / "run") is None


def test_changed_code_is_saved_without_passwords_and_up_to_a_length(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, URL)
    (repository / "model.py").write_text(f"2\nurl = '{URL}'\nother = 'mysql://root:hidden@host'\np = 's3cr3t'\n")
    run(tmp_path / "run", *TINY)
    diff = (tmp_path / "run" / DIFF).read_text()
    assert "-1\n+2\n" in diff
    assert "+url = 'postgresql://me:***@host/db'\n+other = 'mysql://root:***@host'\n+p = '***'" in diff
    first = read_environment(tmp_path / "run") or {}

    (repository / "model.py").write_text("x" * 2 * MAX_DIFF)
    run(tmp_path / "again", *TINY)
    assert (tmp_path / "again" / DIFF).stat().st_size == MAX_DIFF
    assert first["changes"] != (read_environment(tmp_path / "again") or {})["changes"]


def test_the_trials_of_a_search_share_one_question_to_git_and_one_file(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "model.py").write_text("2\n")
    asked: list[str] = []
    monkeypatch.setattr(environment, "git_commit", lambda folder: asked.append(str(folder)) or "f" * 40)
    monkeypatch.setattr(environment, "folder_of_search", lambda: tmp_path)
    for number in range(3):
        run(tmp_path / str(number), *TINY)
    assert asked == [str(repository)]
    assert (tmp_path / DIFF).is_file()
    assert not (tmp_path / "0" / DIFF).exists()


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00"])
def test_a_damaged_record_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / ENVIRONMENT).write_text(text)
    assert read_environment(tmp_path) is None


def splits(value: float, *, validation: bool = True) -> Splits:
    x = torch.zeros(4, 3)
    x[3, 2] = value
    pair = (x.T.contiguous().T, torch.arange(4))  # not contiguous
    scaler = Scaler(mean=np.zeros(3, np.float32), std=np.ones(3, np.float32))
    return Splits(train=pair, val=pair if validation else None, test=pair, scaler=scaler)


def test_the_digest_of_the_data_depends_on_each_value_and_on_the_splits() -> None:
    assert splits(0.0).digest == splits(0.0).digest
    assert splits(0.0).digest.startswith("4 + 4 rows, checksum ")
    assert len({splits(0.0).digest, splits(1e-30).digest, splits(0.0, validation=False).digest}) == 3
