"""`preflight=true`: show the search space, try the smallest and the largest model, and estimate time and disk space."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import BaseSampler

from lightsweep.config.resampling import n_folds_to_train
from lightsweep.direction import listed
from lightsweep.errors import aligned
from lightsweep.preflight.dry_run import DryRun, dry_run
from lightsweep.preflight.estimate import Estimate, in_bytes, in_time
from lightsweep.preflight.space_table import space_table
from lightsweep.preflight.storage_checks import existing_study
from lightsweep.search.request import Request
from lightsweep.search.space import group_names
from lightsweep.search.study import grid_size
from lightsweep.sweeper.config import LightsweepConf


def run_preflight(
    settings: LightsweepConf,
    request: Request,
    *,
    sampler: BaseSampler,
    config: DictConfig,
    hydra_context: HydraContext,
    task_function: TaskFunction,
    url: str,
) -> None:
    """Print what is known of a search that passed the checks. Leaves no file and no study behind.

    Raises one `ConfigError` with all problems.
    """
    groups = group_names(request.space, hydra_context.config_loader)
    print(space_table(request.space, groups=groups), flush=True)
    if "trainer" not in config or "callbacks" not in config:
        print("\nPreflight passed. No model was tried: the config has no trainer and callbacks.")
        return
    dry_runs = dry_run(request, config=config, hydra_context=hydra_context, task_function=task_function)
    print("\n" + _dry_run_table(dry_runs))
    n_trials = min(settings.n_trials, grid_size(sampler, request.space) or settings.n_trials)
    estimate = Estimate.of(
        dry_runs,
        settings,
        launcher=config.hydra.launcher._target_,
        n_trials=max(0, n_trials - _n_finished(url, name=settings.study_name)),
        n_confirm=0 if len(listed(settings.direction)) > 1 else _n_confirm(config),
        max_epochs=(OmegaConf.select(config, "trainer.max_epochs") or 1) * n_folds_to_train(config),
    )
    folder = Path(config.hydra.sweep.dir).absolute()
    print("\n" + "\n".join(["Estimate", *aligned([*estimate.lines(folder).items()])]), flush=True)
    estimate.check_disk(folder)
    for warning in estimate.timeout_warnings(settings):
        print(warning, file=sys.stderr)
    search = [argument for argument in sys.argv if not argument.startswith("hydra.sweeper.preflight=")]
    print(f"\nPreflight passed and left no files behind. Start the search: {shlex.join(['python', *search])}")


def _n_confirm(config: DictConfig) -> int:
    """Return how many trainings at most confirm the best trials: those, and the defaults, with each seed."""
    top_k, n_seeds = (OmegaConf.select(config, f"confirm.{key}") or 0 for key in ("top_k", "n_seeds"))
    return (top_k + 1) * n_seeds if top_k else 0


def _dry_run_table(dry_runs: Sequence[DryRun]) -> str:
    """Return a table of the measurements of each model, followed by its hyperparameters."""
    header = ("model", "parameters", "checkpoint", "a batch", "batches", "an epoch", "device")
    params = [(f"{run.size}:", run.described()) for run in dry_runs]
    return "\n".join(["Dry run", *aligned([header, *map(_row, dry_runs)]), *aligned(params)])


def _row(run: DryRun) -> tuple[str, ...]:
    measured, epoch_s = run.measured, run.epoch_s(n_batches=run.measured["n_batches"])
    return (
        run.size,
        f"{measured['n_parameters']:,}",
        in_bytes(measured["checkpoint_bytes"]),
        f"{1000 * measured['s_per_batch']:.3g} ms",
        "?" if measured["n_batches"] is None else f"{measured['n_batches']:,}",
        "?" if epoch_s is None else in_time(epoch_s),
        measured["device"],
    )


def _n_finished(url: str, *, name: str) -> int:
    study = existing_study(url, name=name)
    return 0 if study is None else sum(t.state.is_finished() for t in study.get_trials(deepcopy=False))
