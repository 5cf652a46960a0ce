"""What is running: python -m lightsweep.status outputs/mlp/<date_time>, or a journal, or the URL of a storage."""

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage

from lightsweep.errors import ConfigError, aligned, first_few
from lightsweep.files import shown
from lightsweep.report.results import RESULTS, read_location
from lightsweep.report.study_status import StudyStatus
from lightsweep.search.study import N_TRIALS, fingerprint_of
from lightsweep.storage.password import VARIABLE, masked
from lightsweep.storage.reading import cannot_be_read, open_to_read
from lightsweep.storage.storage import JOURNAL
from lightsweep.trial.context import confirm_study_of, is_confirm_study

CLEAR = "\033[2J\033[H"  # the screen, and the cursor to its upper left corner
SECONDS_BETWEEN_UPDATES = 5.0


def main() -> None:
    arguments = _parser().parse_args()
    try:
        url, name = location_of(arguments.search)
        storage, name = open_to_read(url), arguments.study or name
        while True:
            text = report(storage, url=url, name=name, as_json=arguments.json)
            print(f"{CLEAR if arguments.watch else ''}{text}", flush=True)
            if not arguments.watch:
                return
            time.sleep(SECONDS_BETWEEN_UPDATES)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


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


def location_of(search: str) -> tuple[str, str | None]:
    """Return the storage of a search, and the name of its study if its folder tells it.

    Raises `ConfigError` if there is no such search, or its storage has a password that is not in the environment.
    """
    path = Path(search)
    if "://" in search or path.is_file():
        return search, None
    if not path.is_dir():
        raise ConfigError(f"'{search}' is neither a folder, nor a journal, nor the URL of a storage.")
    location = read_location(path)
    if location is None and not (path / JOURNAL).is_file():
        raise ConfigError(
            f"'{search}' holds no {JOURNAL} and no {RESULTS}, so it is not the folder of a search, or no trial has"
            " finished yet and the study is elsewhere: then give the URL of the storage."
        )
    url, name = location or (str(path / JOURNAL), None)
    return (_with_password(url) if "***" in url else url), name


def _with_password(url: str) -> str:
    """Return the URL with its password, which is masked in the results of the search."""
    known = os.environ.get(VARIABLE, "")
    if masked(known) != url:
        raise ConfigError(f"the storage of this search is '{url}': export {VARIABLE} with its URL and password.")
    return known


def report(storage: BaseStorage, *, url: str, name: str | None, as_json: bool) -> str:
    """Return the status of the study, or the list of studies if there are several and none is named.

    Raises `ConfigError` if there is no such study, or the storage can't be read.
    """
    try:
        names = optuna.get_all_study_names(storage)
        searches = [each for each in names if not is_confirm_study(each, names)]
        if name is None and len(searches) != 1:
            return _list_of_studies(storage, url=url, as_json=as_json)
        if name is not None and name not in names:
            there = f"its studies are {first_few(names)}" if names else "it holds no study"
            raise ConfigError(f"'{_shown(url)}' has no study '{name}'; {there}.")
        name = name or searches[0]
        status = status_of_study(optuna.load_study(study_name=name, storage=storage), url=url)
        confirm = confirm_study_of(name)
        runs = confirm in names and replace(
            status_of_study(optuna.load_study(study_name=confirm, storage=storage), url=url), monitor=status.monitor
        )
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  (every database driver has its own)
        raise cannot_be_read(url, error) from None
    if as_json:
        return status.to_json(**({"confirmation": runs} if runs else {}))
    return "\n\n".join([status.text(), *([runs.text_of_runs()] if runs else [])])


def status_of_study(study: optuna.Study, *, url: str) -> StudyStatus:
    """Return the status of a study. One that another tool made has no fingerprint, so less is known of it."""
    fingerprint = fingerprint_of(study)
    settings = {} if fingerprint is None else fingerprint.strict
    max_epochs = settings.get("trainer.max_epochs", "")
    n_trials = study.user_attrs.get(N_TRIALS)
    return StudyStatus.of(
        study,
        storage=_shown(url),
        monitor=settings.get("monitor", "value"),
        n_trials=n_trials if isinstance(n_trials, int) else None,
        max_epochs=int(max_epochs) if max_epochs.isdecimal() else None,
    )


def _list_of_studies(storage: BaseStorage, *, url: str, as_json: bool) -> str:
    studies: list[dict[str, Any]] = [
        {"study": s.study_name, "trials": s.n_trials, "began": s.datetime_start and str(s.datetime_start)[:19]}
        for s in optuna.get_all_study_summaries(storage, include_best_trial=False)
    ]
    if as_json:
        return json.dumps(studies, indent=1)
    if not studies:
        return f"{_shown(url)} holds no study yet."
    rows = [[str("-" if cell is None else cell) for cell in study.values()] for study in studies]
    return "\n".join(
        [f"{_shown(url)} holds {len(studies)} studies; choose one with --study", *aligned([[*studies[0]], *rows])]
    )


def _shown(url: str) -> str:
    return masked(url) if "://" in url else shown(Path(url))


if __name__ == "__main__":
    main()
