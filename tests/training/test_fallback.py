"""A refit that fails ends with the best trial's checkpoint, and with the data that belong to it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

import lightsweep
from lightsweep.data.unseen_levels import UnseenLevels
from lightsweep.model.module import MLPModule
from lightsweep.training import refit as module
from lightsweep.training.refit import CHECKPOINT
from lightsweep.trial.outcome import Outcome
from tests.command import FAULTY, SMALL, TRUST, rows_of, succeed, the_folder
from tests.data.table.tables import arrays
from tests.refit import refit

N_ROWS = {"train": 60, "val": 20, "test": 20}
Both = tuple[Path, Outcome]


def on_plateau(self: MLPModule) -> Any:
    optimizer = SGD(self.parameters(), lr=0.1)
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": ReduceLROnPlateau(optimizer), "monitor": "val/loss"},
    }


def write_table(folder: Path) -> None:
    """Write rows whose numbers, and some of whose categories, differ between training and validation."""
    random = np.random.default_rng(0)
    part = [name for name, n in N_ROWS.items() for _ in range(n)]
    frame = pd.DataFrame({"x": random.normal(size=len(part)), "part": part})
    frame["x"] += frame["part"].map({"train": 0, "val": 100, "test": 0})
    frame["c"] = np.where(frame["part"] == "val", "only there", random.choice(["a", "b"], len(part)))
    frame["y"] = random.choice(["no", "yes"], len(part))
    frame.to_csv(folder / "table.csv", index=False)


def write_arrays(folder: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(folder / "arrays.npz", x=random.normal(size=(100, 3)), y=np.arange(100) % 3)


TABLE = ("data=table", "data.path=table.csv", "data.target=y", "data.split=column", "data.split_by=part")


@pytest.fixture
def fallen_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Both]:
    """A function that trains a trial, and then refits with a scheduler that needs a validation."""

    def run(*overrides: str, of_trial: Sequence[str] = ()) -> Both:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(MLPModule, "configure_optimizers", on_plateau)
        settings = [f"data.relative_to={tmp_path}", f"data.cache={tmp_path / 'cache'}", *overrides]
        refit(tmp_path / "trial", *settings, *of_trial, "refit=false", "trainer.max_epochs=3")
        checkpoint = tmp_path / "trial" / "checkpoints" / "best.ckpt"
        monkeypatch.setattr(module, "best_checkpoint", lambda: checkpoint)
        return tmp_path / "best", refit(tmp_path / "best", *settings, "trainer.max_epochs=1")

    return run


def test_a_category_that_only_the_validation_rows_have_is_unknown_to_the_exported_model(
    fallen_back: Callable[..., Both], tmp_path: Path
) -> None:
    write_table(tmp_path)
    folder, outcome = fallen_back(*TABLE)
    assert outcome.trained_on == CHECKPOINT
    assert str(outcome.refit_failed).startswith("MisconfigurationException: ReduceLROnPlateau conditioned on metric")
    model = lightsweep.load(folder)
    frame = pd.read_csv(tmp_path / "table.csv")
    with pytest.warns(UnseenLevels, match="only there"):
        encoded = model.preprocessing.transform(frame)
    training = encoded[: N_ROWS["train"], 0]
    assert (training.mean(), training.std()) == pytest.approx((0, 1), abs=1e-4)
    assert encoded.shape[1] == 3  # x, a, b
    accuracy = (np.asarray(model.predict(frame[80:])) == frame["y"][80:]).mean()
    assert outcome.test_metrics is not None
    assert outcome.test_metrics["test/acc"] == pytest.approx(accuracy)


def test_the_card_and_the_config_are_those_of_the_checkpoint(fallen_back: Callable[..., Both], tmp_path: Path) -> None:
    write_table(tmp_path)
    folder, outcome = fallen_back(*TABLE)
    card = (folder / "model_card.md").read_text()
    assert f"Trained on {CHECKPOINT}, 60 rows. The refit failed: MisconfigurationException: " in card
    assert {"| training | 60 |", "| validation | 20 |", "| test | 20 |"} < set(card.splitlines())
    assert "training + validation" not in card
    assert OmegaConf.load(folder / "config.yaml").data.refit is False
    assert 1 <= (outcome.n_epochs or 0) <= 3
    assert outcome.summary().endswith(f"epochs on {CHECKPOINT}")


def test_the_exported_scaler_is_that_of_the_trial(fallen_back: Callable[..., Both], tmp_path: Path) -> None:
    write_arrays(tmp_path)
    folder, _ = fallen_back("data=arrays", "data.path=arrays.npz", "data.split=random")
    preprocessing = json.loads((folder / "preprocessing.json").read_text())
    x = lightsweep.load(folder).preprocessing.transform(np.load(tmp_path / "arrays.npz")["x"])
    assert preprocessing["target"]["classes"] == [0, 1, 2]
    assert abs(x.mean()) > 1e-3  # not fitted on all rows
    assert (
        "Trained on training data, by the best trial (its checkpoint), 64 rows."
        in (folder / "model_card.md").read_text()
    )


def test_the_exported_scaler_is_that_of_a_trial_with_a_split_of_its_own(
    fallen_back: Callable[..., Both], tmp_path: Path
) -> None:
    write_arrays(tmp_path)
    data = ("data=arrays", "data.path=arrays.npz", "data.resampling=reshuffle", "hydra.job.num=6")
    folder, _ = fallen_back(*data, of_trial=["data.val_seed=7"])
    assert OmegaConf.load(folder / "config.yaml").data.val_seed == 7
    settings = {"relative_to": str(tmp_path), "cache": "cache", "seed": 42}
    x = np.load(tmp_path / "arrays.npz")["x"]
    expected, other = (arrays(tmp_path, "arrays.npz", **settings, val_seed=seed).preprocessing for seed in (7, None))
    exported = lightsweep.load(folder).preprocessing
    np.testing.assert_allclose(exported.transform(x), expected.transform(x))
    assert not np.allclose(exported.transform(x), other.transform(x))


def test_a_refit_without_a_checkpoint_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_arrays(tmp_path)
    monkeypatch.setattr(MLPModule, "configure_optimizers", on_plateau)
    with pytest.raises(Exception, match="ReduceLROnPlateau"):
        refit(tmp_path / "best", "data=arrays", f"data.path={tmp_path}/arrays.npz", f"data.cache={tmp_path / 'cache'}")


@pytest.mark.slow
def test_a_search_whose_refit_fails_ends_with_a_model_and_says_why(tmp_path: Path) -> None:
    arguments = ("hparams_search=mlp", *SMALL, FAULTY.replace("Faulty", "Plateau"), "hydra.sweeper.n_trials=2")
    ran = succeed(*arguments, cwd=tmp_path, **TRUST)
    assert f"epochs on {CHECKPOINT}\n  The refit failed: MisconfigurationException: ReduceLROnPlateau" in ran.out
    folder = the_folder(tmp_path)
    results = OmegaConf.load(folder / "optimization_results.yaml")
    assert results.trained_on == CHECKPOINT
    assert results.refit_failed.startswith("MisconfigurationException")
    assert len(rows_of(folder / "trials.csv")) == 2
    assert json.loads((folder / "best" / "metrics.json").read_text()) == results.shipped
    card = (folder / "best" / "model_card.md").read_text()
    assert "| validation | " in card
    assert "before the refit" not in card

    again = succeed("resume=last", cwd=tmp_path, **TRUST)
    assert "The refit failed: MisconfigurationException" in again.out
