"""`preflight=true`: all that can be known of a search before it starts, shown to whoever is about to start it."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import BaseSampler

from lightsweep.errors import aligned
from lightsweep.preflight.composition import group_names
from lightsweep.preflight.dry_run import DryRun, dry_run
from lightsweep.preflight.estimate import Estimate, in_bytes, in_time
from lightsweep.preflight.space_table import space_table
from lightsweep.preflight.storage_checks import existing_study
from lightsweep.search.space import Request
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
    """Show the space, rehearse its smallest and its largest model, and estimate time and disk.

    Leaves no file, no folder and no study. Raises one `ConfigError` with all that went wrong.
    """
    folder = Path(config.hydra.sweep.dir).absolute()
    groups = group_names(request.space, hydra_context.config_loader)
    print(space_table(request.space, groups=groups), flush=True)
    if "trainer" not in config or "callbacks" not in config:
        print("\nPreflight passed. No model was tried: the config has no trainer and callbacks.")
        return
    dry_runs = dry_run(settings, request, config=config, hydra_context=hydra_context, task_function=task_function)
    print("\n" + dry_run_table(dry_runs))
    n_finished = _n_finished(url, name=settings.study_name)
    estimate = Estimate.of(
        dry_runs,
        settings,
        launcher=config.hydra.launcher._target_,
        n_trials=max(0, min(settings.n_trials, grid_size(sampler, request.space) or settings.n_trials) - n_finished),
        max_epochs=OmegaConf.select(config, "trainer.max_epochs") or 1,
    )
    print("\n" + "\n".join(["Estimate", *aligned([*estimate.lines(folder).items()])]), flush=True)
    estimate.check_disk(folder)
    for remark in estimate.remarks(settings):
        print(remark, file=sys.stderr)
    print(f"\nPreflight passed, and left nothing behind. Start the search: {_command()}")


def dry_run_table(dry_runs: Sequence[DryRun]) -> str:
    """Each rehearsed model with what was measured, and below which hyperparameters it has."""
    rows = [("model", "parameters", "checkpoint", "a batch", "batches", "an epoch", "on"), *map(_row, dry_runs)]
    params = [(f"{r.size}:", r.described()) for r in dry_runs]
    return "\n".join(["Rehearsal", *aligned(rows), *aligned(params)])


def _row(r: DryRun) -> tuple[str, ...]:
    measured, epoch_s = r.measured, r.epoch_s(n_batches=r.measured["n_batches"])
    return (
        r.size,
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


def _command() -> str:
    """The command of this preflight, without the word that made it one."""
    return shlex.join(["python", *(a for a in sys.argv if not a.startswith("hydra.sweeper.preflight="))])
