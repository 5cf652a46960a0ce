"""The estimate of time and disk space, from given measurements of the dry runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from lightsweep.errors import ConfigError
from lightsweep.preflight.dry_run import DryRun
from lightsweep.preflight.estimate import Estimate, in_bytes, in_time
from lightsweep.sweeper.config import LightsweepConf
from tests.conftest import Compose


def dry_run(size: str, *, s_per_batch: float, n_batches: int | None, pid: int = 1) -> DryRun:
    measured = {
        "n_val_batches": 1,
        "s_per_val_batch": 0.0,
        "s_per_checkpoint": 0.0,
        "s_in_batches": 1.0,
        "s_since_set_up": 1.5,
        "checkpoint_bytes": 1000,
        "last_checkpoint_bytes": 3000,
        "s_per_batch": s_per_batch,
        "n_batches": n_batches,
        "pid": pid,
    }
    return DryRun(size, {}, 3.0, None, measured, 4096)


def estimate(*models: DryRun, settings: LightsweepConf, launcher: str = "basic") -> Estimate:
    return Estimate.of(models, settings, launcher=launcher, n_trials=50, n_confirm=0, max_epochs=10)


@pytest.fixture
def settings(composed: Compose) -> LightsweepConf:
    sweeper = composed("hparams_search=mlp").hydra.sweeper
    return LightsweepConf(**{str(key): value for key, value in sweeper.items() if key != "_target_"})


def test_the_time_of_a_trial_ranges_over_all_mixes_of_both_models(settings: LightsweepConf) -> None:
    small = dry_run("smallest", s_per_batch=0.1, n_batches=40)
    large = dry_run("largest", s_per_batch=1.0, n_batches=10)
    low, high = estimate(small, large, settings=settings).seconds_per_trial or (0.0, 0.0)
    assert low == pytest.approx(2 + 10 * (10 * 0.1 + 0.005))
    assert high == pytest.approx(2 + 10 * (40 * 1.0 + 0.005))


def test_the_import_of_torch_is_not_counted_per_trial_if_workers_are_reused(settings: LightsweepConf) -> None:
    models = [dry_run(size, s_per_batch=0.0, n_batches=1, pid=pid) for pid, size in enumerate(("smallest", "largest"))]
    cold = estimate(*models, settings=settings, launcher="submitit").seconds_per_trial
    warm = estimate(*models, settings=settings, launcher="JoblibLauncher: joblib").seconds_per_trial
    assert cold is not None
    assert warm is not None
    assert cold[0] - warm[0] == pytest.approx(2.0 - 0.8)


def test_without_a_number_of_batches_only_the_disk_space_is_estimated(settings: LightsweepConf) -> None:
    result = estimate(dry_run("only", s_per_batch=1, n_batches=None), settings=settings)
    assert result.seconds_per_trial is None
    assert result.search_seconds() is None
    assert result.timeout_warnings(settings) == []
    assert "unknown" in result.lines(Path("/"))["a trial"]
    assert result.disk_bytes() == 6 * 1000 + 3000 + 50 * (4096 + 20_000)


def test_a_search_that_would_fill_the_disk_is_rejected(settings: LightsweepConf, tmp_path: Path) -> None:
    model = dry_run("only", s_per_batch=1, n_batches=1)
    estimate(model, settings=settings).check_disk(tmp_path / "new")
    model.measured["checkpoint_bytes"] = 10**18  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"hydra.sweep.dir is .*needs about 6000000 TB.*keep_checkpoints=5"):
        estimate(model, settings=settings).check_disk(tmp_path / "new")


SECONDS = {0.083: "0.083 s", 1.55: "1.6 s", 44.4: "44 s", 240: "4 min", 12_000: "3 h 20 min", 187_200: "2 d 4 h"}
SIZES = {12: "12 B", 1200: "1.2 kB", 65_000: "65 kB", 3.4e9: "3.4 GB"}


def test_durations_and_sizes_have_about_two_digits() -> None:
    assert {seconds: in_time(seconds) for seconds in (*SECONDS, 3600)} == {**SECONDS, 3600: "1 h"}
    assert {n: in_bytes(n) for n in SIZES} == SIZES


def test_the_trainings_that_confirm_the_best_trials_have_a_line_of_their_own(settings: LightsweepConf) -> None:
    without = estimate(dry_run("only", s_per_batch=1, n_batches=1), settings=settings)
    with_confirm = replace(without, n_confirm=20)
    assert "confirm" not in without.lines(Path())
    _, search_s = without.search_seconds() or (0.0, 0.0)
    limited = replace(settings, timeout=search_s + 1)
    assert without.timeout_warnings(limited) == []
    assert [text.endswith("are confirmed.") for text in with_confirm.timeout_warnings(limited)] == [True]
    assert with_confirm.lines(Path())["confirm"].endswith("for up to 20 trainings after it")
    assert with_confirm.disk_bytes() - without.disk_bytes() == 20 * without.folder_bytes
