"""One run of the default config with small overrides."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from tests.command import Ran, rows_of, succeed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    cwd = tmp_path_factory.mktemp("run")
    ran = succeed("verbose=false", "trainer.max_epochs=4", "logger=[csv,tensorboard]", cwd=cwd)
    [folder] = cwd.glob("outputs/train/*")
    return folder, ran


def test_a_run_ends_with_one_line_of_metric_epoch_and_folder(run: tuple[Path, Ran]) -> None:
    folder, ran = run
    result = OmegaConf.load(folder / "result.yaml")
    [line] = ran.out.splitlines()
    assert line.startswith(f"val/acc {result.value:.4f} at epoch {result.best_epoch} of 4")
    assert line.endswith(f"in outputs/train/{folder.name}")
    assert result.value > 0.8  # ten classes: guessing gives 0.1
    assert ran.err == ""


def test_a_run_leaves_its_config_metrics_and_best_checkpoint(run: tuple[Path, Ran]) -> None:
    folder, _ = run
    assert {"config.yaml", "hydra.yaml", "overrides.yaml"} == {p.name for p in (folder / ".hydra").iterdir()}
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["best.ckpt"]
    rows = rows_of(folder / "csv" / "metrics.csv")
    assert {"train/loss", "val/loss", "val/acc"} <= set(rows[0])
    best = max(float(row["val/acc"]) for row in rows if row["val/acc"])
    assert best == OmegaConf.load(folder / "result.yaml").value
    assert list((folder / "tensorboard").glob("events.*"))


def test_the_weights_depend_on_the_seed_alone(run: tuple[Path, Ran], tmp_path: Path) -> None:
    folder, _ = run

    def weights_in(folder: Path) -> dict[str, torch.Tensor]:
        return torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]

    expected = weights_in(folder)
    for seed, same in {"42": True, "1": False}.items():
        arguments = ("verbose=false", "trainer.max_epochs=4", f"seed={seed}", f"hydra.run.dir={tmp_path / seed}")
        succeed(*arguments, cwd=tmp_path)
        found = weights_in(tmp_path / seed)
        assert all(torch.equal(expected[name], found[name]) for name in expected) is same


def test_verbose_shows_the_progress_bar_of_lightning(tmp_path: Path) -> None:
    ran = succeed("trainer.max_epochs=1", cwd=tmp_path)
    assert "Epoch 0" in ran.out + ran.err


def test_a_multirun_without_a_search_runs_each_job(tmp_path: Path) -> None:
    ran = succeed("-m", "seed=1,2", "trainer.max_epochs=1", "verbose=false", cwd=tmp_path)
    assert len(ran.out.splitlines()) == 2
    assert len(list(tmp_path.glob("outputs/multirun/*/*/[01]/result.yaml"))) == 2
