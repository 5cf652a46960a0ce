"""Write the report of any study of Optuna: python -m lightsweep.report outputs/mlp/<date_time>, or a storage's URL."""

import argparse
from pathlib import Path

from lightsweep.files import shown
from lightsweep.interrupt import exits_on_error
from lightsweep.opened.location import Location
from lightsweep.opened.page_file import file_name, page_file
from lightsweep.report.page.report import REPORT, write_report
from lightsweep.search.study import monitor_of, n_trials_of, step_of


def main() -> None:
    arguments = _parser().parse_args()
    with exits_on_error(stopped="stopped; nothing was written"):
        path = report(arguments.search, study=arguments.study, output=arguments.output)
    print(shown(path))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lightsweep.report",
        description="Write the report of a search, or of a study that another tool wrote, as one HTML page.",
    )
    parser.add_argument("search", help="folder of a search, path of a journal, or URL of a storage")
    parser.add_argument("--study", help="name of the study, if the storage holds several")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help=f"file to write, replaced; by default {REPORT} in the folder, without a folder <study>.html here",
    )
    return parser


def report(search: str, *, study: str | None, output: Path | None) -> Path:
    """Write the page and return its path. Raises `ConfigError` if the study can't be read, or the page not written."""
    location = Location.of(search)
    opened = location.open_study(study, option="--study")
    path = output or (location.folder / REPORT if location.folder else Path(file_name(opened.study_name)))
    with page_file(path):
        write_report(
            opened,
            path,
            title=opened.study_name,
            monitor=monitor_of(opened),
            step=step_of(opened),
            folder=location.folder,
            n_trials=n_trials_of(opened),
        )
    return path


if __name__ == "__main__":
    main()
