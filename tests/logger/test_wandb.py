"""Weights & Biases: one run per training, also if one process runs several trainings."""

from pathlib import Path

import pytest

from tests.command import succeed, the_folder

pytest.importorskip("wandb", reason="the extra wandb is not installed")


@pytest.mark.slow
def test_each_trial_and_the_refit_have_one_run(tmp_path: Path) -> None:
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
    runs = {part: {p.stem for p in (folder / part).rglob("*.wandb")} for part in ("0", "1", "best")}
    assert [len(names) for names in runs.values()] == [1, 1, 1]
    assert len(set.union(*runs.values())) == 3
