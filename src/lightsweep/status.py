"""What is running: python -m lightsweep.status outputs/mlp/<date_time>, or a journal, or the URL of a storage."""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.storages import BaseStorage

from lightsweep.errors import ConfigError, aligned
from lightsweep.interrupt import exits_on_error
from lightsweep.opened.location import Location
from lightsweep.opened.study_status import StudyStatus
from lightsweep.search.study import N_TRIALS, fingerprint_of, monitor_of
from lightsweep.storage.reading import cannot_be_read, open_to_read
from lightsweep.trial.context import confirm_study_of, is_confirm_study

CLEAR = "\033[2J\033[H"  # the screen, and the cursor to its upper left corner
SECONDS_BETWEEN_UPDATES = 5.0


def main() -> None:
    arguments = _parser().parse_args()
    with exits_on_error():
        location = Location.of(arguments.search)
        storage, name = open_to_read(location.url), arguments.study or location.name
        while True:
            text = report(storage, location=location, name=name, as_json=arguments.json)
            print(f"{CLEAR if arguments.watch else ''}{text}", flush=True)
            if not arguments.watch:
                return
            time.sleep(SECONDS_BETWEEN_UPDATES)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lightsweep.status",
        description="Show what a search is doing, and what it has found so far. Only reads.",
    )
    parser.add_argument("search", help="folder of a search, path of a journal, or URL of a storage")
    parser.add_argument("--study", help="name of the study, if the storage holds several")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.add_argument("--watch", action="store_true", help=f"show it again every {SECONDS_BETWEEN_UPDATES:g} s")
    return parser


def report(storage: BaseStorage, *, location: Location, name: str | None, as_json: bool) -> str:
    """Return the status of the study, or the list of studies if there are several and none is named.

    Raises `ConfigError` if there is no such study, or the storage can't be read.
    """
    try:
        names = optuna.get_all_study_names(storage)
        searches = [each for each in names if not is_confirm_study(each, names)]
        if name is None and len(searches) != 1:
            return _list_of_studies(storage, location=location, as_json=as_json)
        name = location.choose(names, name=name or searches[0], option="--study")
        status = status_of_study(optuna.load_study(study_name=name, storage=storage), location=location)
        runs = _runs_that_confirm(storage, names, location=location, status=status)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  (every database driver has its own)
        raise cannot_be_read(location.url, error) from None
    if as_json:
        return status.to_json(**({"confirmation": runs} if runs else {}))
    return "\n\n".join([status.text(), *([runs.text_of_runs()] if runs else [])])


def _runs_that_confirm(
    storage: BaseStorage, names: Sequence[str], *, location: Location, status: StudyStatus
) -> StudyStatus | None:
    confirm = confirm_study_of(status.study)
    if confirm not in names:
        return None
    study = optuna.load_study(study_name=confirm, storage=storage)
    return replace(status_of_study(study, location=location), monitor=status.monitor)


def status_of_study(study: optuna.Study, *, location: Location) -> StudyStatus:
    """Return the status of a study. One that another tool made has no fingerprint, so less is known of it."""
    fingerprint = fingerprint_of(study)
    settings = {} if fingerprint is None else fingerprint.strict
    max_epochs = settings.get("trainer.max_epochs", "")
    n_trials = study.user_attrs.get(N_TRIALS)
    return StudyStatus.of(
        study,
        storage=location.shown,
        monitor=monitor_of(study),
        n_trials=n_trials if isinstance(n_trials, int) else None,
        max_epochs=int(max_epochs) if max_epochs.isdecimal() else None,
    )


def _list_of_studies(storage: BaseStorage, *, location: Location, as_json: bool) -> str:
    studies: list[dict[str, Any]] = [
        {"study": s.study_name, "trials": s.n_trials, "began": s.datetime_start and str(s.datetime_start)[:19]}
        for s in optuna.get_all_study_summaries(storage, include_best_trial=False)
    ]
    if as_json:
        return json.dumps(studies, indent=1)
    if not studies:
        return f"{location.shown} holds no study yet."
    rows = [[str("-" if cell is None else cell) for cell in study.values()] for study in studies]
    return "\n".join(
        [f"{location.shown} holds {len(studies)} studies; choose one with --study", *aligned([[*studies[0]], *rows])]
    )


if __name__ == "__main__":
    main()
