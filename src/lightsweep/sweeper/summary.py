"""What the search says at its end."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import optuna

from lightsweep.errors import aligned
from lightsweep.files import shown
from lightsweep.outcome import Outcome
from lightsweep.sweeper.fate import FAIL_REASON, fate_of
from lightsweep.sweeper.loop import Ending
from lightsweep.sweeper.password import masked
from lightsweep.sweeper.progress import short
from lightsweep.sweeper.results import Results, Tally

PREPROCESSING = "preprocessing.json"  # its own module imports torch, which this process may do without


def facts(tally: Tally, *, monitor: str) -> dict[str, str]:
    """The figures of a search, each with its label."""
    counts = ", ".join(f"{n} {fate}" for fate, n in tally.counts.items() if n or fate != "infeasible")
    lines = {"Finished trials": f"{tally.n_finished} ({counts})"}
    if tally.kinds:
        lines["Failures"] = ", ".join(f"{n} {kind}" for kind, n in tally.kinds.most_common())
    if tally.best is not None:
        lines[f"Best {monitor}"] = f"{tally.best.value:.4f} (trial {tally.best.number})"
    total = tally.epochs_run + tally.epochs_saved
    if total:
        lines["Saved by pruning"] = f"{tally.epochs_saved} of {total} epochs"
    return lines


def of_trials(results: Results, *, ending: Ending | None) -> str:
    """What the trials gave: counts, the best of them and its hyperparameters, and why it ended if that was early."""
    tally = results.tally
    lines = [""]
    if ending is not None:
        lines.append(f"Stopped early: {ending.reason}.")
    lines += aligned([*facts(tally, monitor=results.about["monitor"]).items()])
    if tally.best is not None:
        best = tally.best
        lines += ["", f"Best hyperparameters (trial {best.number}, {shown(Path(best.user_attrs['folder']))})"]
        lines += aligned([(name, short(value)) for name, value in best.params.items()])
    return "\n".join(lines)


def of_model(folder: Path, *, results: Results, shipped: Outcome | None, url: str) -> str:
    """What the shipped model reached, and what to type to look further."""
    lines = [""]
    if shipped is not None:
        lines += [f"Shipped model ({shown(folder / 'best')})", f"  {shipped.summary()}", ""]
    return "\n".join([*lines, *_next_commands(folder, results=results, shipped=shipped, url=url)])


def why_nothing_completed(study: optuna.Study, *, ending: Ending | None) -> str:
    """Why there is no best trial, and what to change."""
    trials = study.get_trials(deepcopy=False)
    fates = Counter(fate_of(trial) for trial in trials)
    pruned = fates["pruned"]
    reasons = [trial.user_attrs.get(FAIL_REASON) for trial in trials if fate_of(trial) in ("failed", "infeasible")]
    if not trials:
        return f"no trial was run{f': {ending.reason}' if ending else ''}."
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
    if results.tally.best is not None:
        commands["train again"] = results.command(results.tally.best)
    return ["Look further", *aligned([*commands.items()])]
