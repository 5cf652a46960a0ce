"""Weights & Biases: one run per training, also when one process trains several."""

from pathlib import Path

import pytest

from tests.command import succeed, the_folder

pytest.importorskip("wandb", reason="the extra wandb is not installed")


@pytest.mark.slow
def test_each_trial_and_the_shipped_model_have_a_run_of_their_own(tmp_path: Path) -> None:
    succeed(
        "hparams_search=mlp",
        "hydra.sweeper.n_trials=2",
        "trainer.max_epochs=1",
        "logger=wandb",
        "logger.wandb.offline=true",
        cwd=tmp_path,
        WANDB_SILENT="true",
    )
    folder = the_folder(tmp_path)
    names = {part: {p.stem for p in (folder / part).rglob("*.wandb")} for part in ("0", "1", "best")}
    assert all(len(runs) == 1 for runs in names.values()), names
    assert len(set.union(*names.values())) == 3
