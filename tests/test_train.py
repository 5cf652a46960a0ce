"""One run: the shipped config, composed with small overrides and trained for real."""

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
    assert ran.err == ""


def test_training_beats_an_untrained_network(run: tuple[Path, Ran]) -> None:
    assert OmegaConf.load(run[0] / "result.yaml").value > 0.8  # ten classes: guessing gives 0.1


def test_a_run_leaves_its_config_metrics_and_best_checkpoint(run: tuple[Path, Ran]) -> None:
    folder, _ = run
    assert {"config.yaml", "hydra.yaml", "overrides.yaml"} == {p.name for p in (folder / ".hydra").iterdir()}
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["best.ckpt"]
    rows = rows_of(folder / "csv" / "metrics.csv")
    assert {"train/loss", "val/loss", "val/acc"} <= set(rows[0])
    best = max(float(row["val/acc"]) for row in rows if row["val/acc"])
    assert best == OmegaConf.load(folder / "result.yaml").value
    assert list((folder / "tensorboard").glob("events.*"))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(run: tuple[Path, Ran], tmp_path: Path) -> None:
    folder, _ = run

    def weights(there: Path) -> dict[str, torch.Tensor]:
        return torch.load(there / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]

    first = weights(folder)
    same = {}
    for seed in ("42", "1"):
        arguments = ("verbose=false", "trainer.max_epochs=4", f"seed={seed}", f"hydra.run.dir={tmp_path / seed}")
        succeed(*arguments, cwd=tmp_path)
        again = weights(tmp_path / seed)
        same[seed] = all(torch.equal(first[name], again[name]) for name in first)
    assert same == {"42": True, "1": False}


def test_verbose_shows_lightnings_own_progress(tmp_path: Path) -> None:
    ran = succeed("trainer.max_epochs=1", cwd=tmp_path)
    assert "Epoch 0" in ran.out + ran.err


def test_a_plain_multirun_is_still_hydras_own(tmp_path: Path) -> None:
    ran = succeed("-m", "seed=1,2", "trainer.max_epochs=1", "verbose=false", cwd=tmp_path)
    assert len(ran.out.splitlines()) == 2
    assert len(list(tmp_path.glob("outputs/multirun/*/[01]/result.yaml"))) == 2
