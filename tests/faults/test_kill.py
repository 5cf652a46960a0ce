"""A search whose driver is killed repeatedly with SIGKILL still completes.

The long version, 20 kills over 30 trials with two workers: LIGHTSWEEP_KILLS=20 pytest tests/faults
"""

import os
import random
import subprocess
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from optuna.trial import TrialState

from tests.command import TINY, rows_of, start, study_in, succeed

N_KILLS = int(os.environ.get("LIGHTSWEEP_KILLS", "2"))
SHORT = N_KILLS < 10
N_TRIALS = 8 if SHORT else 30
WORKERS = () if SHORT else ("hydra/launcher=processes", "hydra.sweeper.n_jobs=2")


@pytest.mark.slow
def test_a_search_that_is_killed_at_random_has_every_trial_once(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    arguments = ("hparams_search=mlp", *TINY, "trainer.max_epochs=12", *WORKERS, f"hydra.sweeper.n_trials={N_TRIALS}")
    rng = random.Random(0)
    for _ in range(N_KILLS):
        process = start(*arguments, f"hydra.sweep.dir={folder}", cwd=tmp_path)
        try:
            process.wait(timeout=rng.uniform(3, 6 if SHORT else 9))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
    succeed(*arguments, f"hydra.sweep.dir={folder}", cwd=tmp_path)

    trials = study_in(folder).trials
    assert [t.number for t in trials] == list(range(N_TRIALS))
    assert all(t.state.is_finished() for t in trials)
    assert len({tuple(t.params.values()) for t in trials}) == N_TRIALS
    for trial in trials:
        if trial.state == TrialState.FAIL:
            assert trial.user_attrs["fail_reason"] == "its process died 2 times"
            continue
        of_trial = folder / str(trial.number)
        config = OmegaConf.load(of_trial / ".hydra" / "config.yaml")
        assert OmegaConf.select(config, "optimizer.lr") == trial.params["optimizer.lr"]
        assert OmegaConf.load(of_trial / "result.yaml").value == max(trial.intermediate_values.values())
    assert [int(row["number"]) for row in rows_of(folder / "trials.csv")] == list(range(N_TRIALS))
    assert OmegaConf.load(folder / "optimization_results.yaml").n_trials.finished == N_TRIALS
