"""Studies to open: those of searches, and those that other tools wrote."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from lightsweep.files import yaml_of
from lightsweep.report.results import RESULTS
from lightsweep.search.study import FINGERPRINT

optuna.logging.set_verbosity(optuna.logging.ERROR)

SETTINGS = {
    "monitor": "val/acc",
    "direction": "maximize",
    "seed": "42",
    "optimizer.lr": "searched: 0.0 to 1.0",
    "model.n_layers": "2",
}
LR = FloatDistribution(0.0, 1.0, step=0.1)


def journal_study(path: Path, name: str = "mlp", **options: Any) -> optuna.Study:
    return optuna.create_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(path))), **options)


def search_folder(folder: Path, *, settings: dict[str, str] | None = None, **results: Any) -> Path:
    """The folder of a search of four finished trials, one of each kind; `results` are more entries of its results."""
    folder.mkdir(exist_ok=True)
    study = journal_study(folder / "study.journal", direction="maximize")
    study.set_user_attr(FINGERPRINT, {"measured": SETTINGS | (settings or {}), "noted": {"version of torch": "2.9"}})

    def add(state: TrialState, *, value: float | None = None, lr: float = 0.3, n_epochs: int = 5, **attrs: Any) -> None:
        number = len(study.get_trials(deepcopy=False))
        user_attrs = {"n_epochs": n_epochs, "max_epochs": 5, "folder": f"/elsewhere/{number}", **attrs}
        constraints = {"feasibility": 1.0} if "fail_kind" in attrs else {}
        trial = create_trial(
            state=state,
            value=value,
            params={"optimizer.lr": lr},
            distributions={"optimizer.lr": LR},
            user_attrs=user_attrs,
            constraints=constraints,
        )
        assert trial.datetime_complete is not None
        trial.datetime_start = trial.datetime_complete - timedelta(seconds=1.5)
        study.add_trial(trial)

    add(TrialState.COMPLETE, value=0.9, lr=0.1 + 0.2)
    add(TrialState.PRUNED, n_epochs=2, pruned_reason="below the median")
    add(TrialState.PRUNED, n_epochs=1, fail_kind="diverged", fail_reason="the loss is not finite")
    add(TrialState.COMPLETE, value=0.8, lr=0.5)
    location = {"study_name": "mlp", "storage": "/elsewhere/study.journal"}
    (folder / RESULTS).write_text(yaml_of({**location, **results}))
    return folder


def foreign_study(storage: str | Path, *, reports: bool = True, **options: Any) -> optuna.Study:
    """A study as a plain script with Optuna writes it: numbers, choices of any type, a failed and a pruned trial."""
    options = {"study_name": "theirs", **options}
    if isinstance(storage, Path):
        study = journal_study(storage, **{"name": options.pop("study_name"), **options})
    else:
        study = optuna.create_study(storage=RDBStorage(storage), **options)

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        kind = trial.suggest_categorical("value", ["relu", 1, None, False])
        if kind == "relu":
            trial.suggest_int("layers", 1, 3)
        for step in range(0, 30, 10) if reports else ():
            trial.report(x * x + 1 / (step + 1), step)
        if trial.number == 1:
            raise ArithmeticError("no")
        if trial.number == 2:
            raise optuna.TrialPruned
        trial.set_user_attr("n_epochs", "many")
        trial.set_user_attr("fail_kind", ["a", "list"])
        return x * x

    study.sampler = optuna.samplers.RandomSampler(seed=0)
    study.optimize(objective, n_trials=14, catch=(ArithmeticError,))
    return study
