"""What the search says at its end."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import optuna

from lightsweep.errors import aligned
from lightsweep.files import shown
from lightsweep.report.progress import short
from lightsweep.report.results import Results, StudyStatistics
from lightsweep.storage.password import masked
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.status import FAIL_REASON, status_of
from lightsweep.trial.stop import StopReason

PREPROCESSING = "preprocessing.json"  # its own module imports torch, which this process may do without


def facts(statistics: StudyStatistics, *, monitor: str) -> dict[str, str]:
    """The figures of a search, each with its label."""
    counts = ", ".join(f"{n} {fate}" for fate, n in statistics.counts.items() if n or fate != "infeasible")
    lines = {"Finished trials": f"{statistics.n_finished} ({counts})"}
    if statistics.kinds:
        lines["Failures"] = ", ".join(f"{n} {kind}" for kind, n in statistics.kinds.most_common())
    if statistics.best is not None:
        lines[f"Best {monitor}"] = f"{statistics.best.value:.4f} (trial {statistics.best.number})"
    total = statistics.epochs_run + statistics.epochs_saved
    if total:
        lines["Saved by pruning"] = f"{statistics.epochs_saved} of {total} epochs"
    return lines


def of_trials(results: Results, *, stop_reason: StopReason | None) -> str:
    """What the trials gave: counts, the best of them and its hyperparameters, and why it ended if that was early."""
    statistics = results.statistics
    lines = [""]
    if stop_reason is not None:
        lines.append(f"Stopped early: {stop_reason.reason}.")
    lines += aligned([*facts(statistics, monitor=results.about["monitor"]).items()])
    if statistics.best is not None:
        best = statistics.best
        lines += ["", f"Best hyperparameters (trial {best.number}, {shown(Path(best.user_attrs['folder']))})"]
        lines += aligned([(name, short(value)) for name, value in best.params.items()])
    return "\n".join(lines)


def of_model(folder: Path, *, results: Results, shipped: Outcome | None, url: str) -> str:
    """What the shipped model reached, and what to type to look further."""
    lines = [""]
    if shipped is not None:
        lines += [f"Shipped model ({shown(folder / 'best')})", f"  {shipped.summary()}", ""]
    return "\n".join([*lines, *_next_commands(folder, results=results, shipped=shipped, url=url)])


def why_nothing_completed(study: optuna.Study, *, stop_reason: StopReason | None) -> str:
    """Why there is no best trial, and what to change."""
    trials = study.get_trials(deepcopy=False)
    fates = Counter(status_of(trial) for trial in trials)
    pruned = fates["pruned"]
    reasons = [trial.user_attrs.get(FAIL_REASON) for trial in trials if status_of(trial) in ("failed", "infeasible")]
    if not trials:
        return f"no trial was run{f': {stop_reason.reason}' if stop_reason else ''}."
    if pruned == len(trials):
        return (
            f"no trial completed: all {pruned} were pruned. Give the pruner more trials or epochs before it starts"
            " (hydra.sweeper.pruner.n_startup_trials, n_warmup_steps), or say hydra/sweeper/pruner=none."
        )
    last = f" The last one: {reasons[-1]}." if reasons else ""
    infeasible = f"{fates['infeasible']} were infeasible, " if fates["infeasible"] else ""
    return f"no trial completed: {fates['failed']} failed, {infeasible}{pruned} were pruned.{last}"


def _next_commands(folder: Path, *, results: Results, shipped: Outcome | None, url: str) -> list[str]:
    storage = masked(url) if "://" in url else shown(Path(url))
    installed = importlib.util.find_spec("optuna_dashboard") is not None
    commands = {
        "report": shown(folder / "report.html"),
        "dashboard": f"{'' if installed else 'pip install optuna-dashboard; '}optuna-dashboard {storage}",
    }
    if shipped is None:
        commands["go on"] = f"python {sys.argv[0]} resume={shown(folder)}"
    elif (folder / "best" / PREPROCESSING).is_file():
        commands["model"] = (
            f"""python -c "import lightsweep; print(lightsweep.load('{shown(folder / "best")}').metrics)\""""
        )
    else:  # a data module of the user's own keeps its preprocessing to itself
        commands["model"] = shown(folder / "best" / "model_card.md")
    if results.statistics.best is not None:
        commands["train again"] = results.command(results.statistics.best)
    return ["Look further", *aligned([*commands.items()])]
