"""A search with several objectives: what it exports, and what it writes."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lightsweep.direction import N_PARAMS
from lightsweep.trial.outcome import Outcome
from tests.command import rows_of
from tests.conftest import Compose
from tests.sweeper.test_drivers import FakeLauncher, search_with

VALUES = [(0.95, 90_000), (0.93, 8_000), (0.2, 4_000), (0.9, 9_000)]


class LauncherOfModels(FakeLauncher):
    """Each trial reaches its accuracy with its number of weights."""

    def outcome(self, number: int) -> Outcome:
        acc, n_params = VALUES[number]
        epochs = {"best_epoch": 1, "n_epochs": 2, "max_epochs": 2}
        return Outcome(monitor="val/acc", value=acc, further={N_PARAMS: float(n_params)}, **epochs)


def test_the_rule_chooses_what_is_exported_and_may_change(
    composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = ["hparams_search=mlp", "monitor=[val/acc,model/n_params]", "hydra.sweeper.n_trials=4"]
    for ship, number in (("best_of_first", 0), ("knee", 1), ("knee", None)):
        launcher, study = search_with(
            composed(*search, f"ship={ship}"),
            tmp_path,
            other=lambda _: None,
            monkeypatch=monkeypatch,
            launcher_of=LauncherOfModels,
        )
        assert launcher.refitted == ([] if number is None else [number])  # what is there is kept
    assert [trial.values for trial in study.trials] == [[acc, float(n_params)] for acc, n_params in VALUES]
    assert [row[N_PARAMS] for row in rows_of(tmp_path / "trials.csv")] == [f"{n:.1f}" for _, n in VALUES]
    results = OmegaConf.load(tmp_path / "optimization_results.yaml")
    assert [trial.trial for trial in results.front] == [0, 1, 2]
    assert (results.best_trial, results.shipped_trial, results.ship) == (1, 1, "knee")
    assert results.objectives == {"val/acc": "maximize", N_PARAMS: "minimize"}
    output = capsys.readouterr()
    assert "  1      0.9300   8,000           ship=knee\n" in output.out
    assert "best val/acc 0.9500 (trial 0) · Pareto front of 3" in output.err
    assert "The trials of the Pareto front are not trained again" in output.err
