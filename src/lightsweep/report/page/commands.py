"""How to go on from a search: commands to copy."""

import shlex
from collections.abc import Iterator
from html import escape
from pathlib import Path

from lightsweep.files import shown
from lightsweep.report.page.content import ReportContent
from lightsweep.report.plotly_figure import note_html
from lightsweep.report.snapshot import NothingToShowError
from lightsweep.report.summary import EXPERIMENT, model_command
from lightsweep.storage.storage import JOURNAL

MODEL = "best"  # the folder of the exported model
MODEL_IS_COMPLETE = "metrics.json"
OF_TABLE = "preprocessing.skops"  # the model predicts from a file of rows
SCRIPT = "train.py"


def section(content: ReportContent) -> str:
    """Return the commands; raise `NothingToShowError` if the folder of the search is not known."""
    if content.folder is None:
        raise NothingToShowError("The folder of the search is not known, so there are no commands for it.")
    rows = "".join(_row(purpose, command) for purpose, command in _commands(content, content.folder))
    note = f"To be run where {_script(content)} is. Paths are those of the time when this page was written."
    return f'{note_html(note)}<dl class="commands">{rows}</dl>'


def _row(purpose: str, command: str) -> str:
    return (
        f"<div><dt>{escape(purpose)}</dt><dd><code>{escape(command)}</code>"
        f'<button type="button" class="copy" aria-label="Copy: {escape(purpose)}" hidden>Copy</button></dd></div>'
    )


def _commands(content: ReportContent, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what each command is for, and the command: use, reproduce, continue."""
    here, script, best = shown(folder), _script(content), content.best
    if content.running is not None:
        yield "See what runs now", shlex.join(["python", "-m", "lightsweep.status", here])
    model = folder / MODEL
    if (model / OF_TABLE).is_file() and (model / MODEL_IS_COMPLETE).is_file():
        yield (
            "Predict",
            f"{shlex.join(['python', '-m', 'lightsweep.predict', shown(model)])} rows.csv -o predictions.csv",
        )
    elif (model / MODEL_IS_COMPLETE).is_file():
        yield "Load the exported model", model_command(model)
    if best is not None and (folder / str(best.number)).is_dir():
        reproduce = ["python", "-m", "lightsweep.reproduce", shown(folder / str(best.number))]
        yield f"Train trial {best.number} again and compare", shlex.join(reproduce)
    if (folder / EXPERIMENT).is_file():
        again = ["python", script, "--config-dir", here, f"experiment={EXPERIMENT.stem}"]
        yield "Train with the best hyperparameters", shlex.join(again)
    elif content.recorded.command:
        yield "Train with the best hyperparameters", content.recorded.command
    if content.running is None:
        is_done = content.n_trials is not None and content.statistics.n_finished >= content.n_trials
        more = [f"hydra.sweeper.n_trials={2 * (content.n_trials or 0)}"] if is_done else []
        yield (
            "Continue with more trials" if more else "Continue",
            shlex.join(["python", script, f"resume={here}", *more]),
        )
    if (folder / JOURNAL).is_file():
        yield "Browse the study (needs optuna-dashboard)", shlex.join(["optuna-dashboard", shown(folder / JOURNAL)])
    yield "Write this page again", shlex.join(["python", "-m", "lightsweep.report", here])


def _script(content: ReportContent) -> str:
    """Return the script of the search, as the recorded command `python <script> ...` names it."""
    try:
        parts = shlex.split(content.recorded.command)
    except ValueError:
        parts = []
    return parts[1] if len(parts) > 1 else SCRIPT
