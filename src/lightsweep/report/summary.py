"""The closing text of a search."""

import importlib.util
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import optuna

from lightsweep.config.command_line import config_dir_in
from lightsweep.errors import aligned
from lightsweep.files import shown
from lightsweep.report.formatting import format_value
from lightsweep.report.results import Results
from lightsweep.storage.grpc_proxy import is_grpc
from lightsweep.storage.password import masked
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.status import FAIL_REASON, status_of
from lightsweep.trial.stop import StopReason

EXPERIMENT = Path("experiment") / "best.yaml"  # the config of the best trial, in the folder of the search
PREPROCESSING = "preprocessing.json"  # as in data.preprocessing, whose import would load torch here


def of_trials(results: Results, *, stop_reason: StopReason | None) -> str:
    """Return counts, the best value, the Pareto front, and the reason if the search stopped early."""
    statistics = results.statistics
    lines = [""]
    if stop_reason is not None:
        lines.append(f"Stopped early: {stop_reason.reason}.")
    lines += aligned([*statistics.overview(results.about["monitor"]).items()])
    if results.further and statistics.best is not None:
        rows = statistics.front.rows([results.about["monitor"], *results.further], rule=results.ship)
        lines += [
            "",
            f"Pareto front ({len(rows) - 1} of {statistics.counts['complete']} complete trials)",
            *aligned(rows),
        ]
    return "\n".join(lines)


def of_confirmation(rows: Sequence[tuple[str, str]], failed: Sequence[str], *, monitor: str, n_seeds: int) -> str:
    """Return what the candidates of the confirmation reached, and which one wins."""
    title = f"Confirmed {monitor}, mean of {n_seeds} seeds and its 95 % interval"
    return "\n".join(["", title, *aligned(rows), *(f"  not compared: {text}" for text in failed)])


def of_model(folder: Path, *, results: Results, refit: Outcome | None, url: str) -> str:
    """Return the best hyperparameters, the test metrics of the exported model, and commands for the next steps.

    `url` is the storage's.
    """
    lines = [""]
    if results.best is not None:
        best = results.best
        which = f"Hyperparameters that ship={results.ship} chooses" if results.further else "Best hyperparameters"
        lines += [f"{which} (trial {best.number}, {shown(Path(best.user_attrs['folder']))})"]
        lines += [*aligned([(name, format_value(value)) for name, value in best.params.items()]), ""]
    if refit is not None:
        failed = [f"  The refit failed: {refit.refit_failed}"] if refit.refit_failed else []
        lines += [f"Exported model ({shown(folder / 'best')})", f"  {refit.summary()}", *failed, ""]
    commands = _next_steps(folder, results=results, is_exported=refit is not None, url=url)
    return "\n".join([*lines, "Next steps", *aligned([*commands.items()])])


def _next_steps(folder: Path, *, results: Results, is_exported: bool, url: str) -> dict[str, str]:
    install = "" if importlib.util.find_spec("optuna_dashboard") else "pip install optuna-dashboard; "
    storage = shlex.quote(masked(url) if "://" in url else shown(Path(url)))
    commands = {"report": shown(folder / "report.html")}
    if not is_grpc(url):  # optuna-dashboard takes the URL of the database behind the proxy
        commands["dashboard"] = f"{install}optuna-dashboard {storage}"
    if is_exported:
        commands["model"] = model_command(folder / "best")
    else:
        commands["resume"] = shlex.join(["python", sys.argv[0], f"resume={shown(folder)}"])
    if results.best is not None:
        commands["train again"] = _train_again(folder) or results.command(results.best)
    return commands


def _train_again(folder: Path) -> str | None:
    """Return the command with the best trial's config file; None if its groups may be in a folder of the user."""
    if not (folder / EXPERIMENT).is_file() or config_dir_in(sys.argv[1:]):
        return None
    return shlex.join(["python", sys.argv[0], "--config-dir", shown(folder), f"experiment={EXPERIMENT.stem}"])


def model_command(folder: Path) -> str:
    if not (folder / PREPROCESSING).is_file():  # a custom data module without `preprocessing`: `load` can't read it
        return shown(folder / "model_card.md")
    code = f"import lightsweep; print(lightsweep.load({shown(folder)!r}).metrics)"
    return shlex.join(["python", "-c", code]) if set(code) & set('"\\$`!') else f'python -c "{code}"'


def why_nothing_completed(study: optuna.Study, *, stop_reason: StopReason | None) -> str:
    """Return why the search has no best trial, and what to change."""
    trials = study.get_trials(deepcopy=False)
    if not trials:
        return f"no trial was run{f': {stop_reason.reason}' if stop_reason else ''}."
    counts = Counter(status_of(trial) for trial in trials)
    if counts["pruned"] == len(trials):
        return (
            f"no trial completed: all {len(trials)} were pruned. Let the pruner start after more trials or epochs"
            " (hydra.sweeper.pruner.n_startup_trials, n_warmup_steps), or set hydra/sweeper/pruner=none."
        )
    infeasible = f"{counts['infeasible']} were infeasible, " if counts["infeasible"] else ""
    reasons = [trial.user_attrs.get(FAIL_REASON) for trial in trials if status_of(trial) in ("failed", "infeasible")]
    last = f" The last one: {reasons[-1]}." if reasons else ""
    return f"no trial completed: {counts['failed']} failed, {infeasible}{counts['pruned']} were pruned.{last}"
