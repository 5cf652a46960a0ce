"""Train again and compare: python -m lightsweep.reproduce outputs/mlp/<date_time>/5"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lightsweep.config.resampling import fold_folders
from lightsweep.config.suggestions import message_of
from lightsweep.errors import USER_ERRORS, ConfigError
from lightsweep.files import shown
from lightsweep.interrupt import Interrupted, interruptible

if TYPE_CHECKING:
    from lightsweep.training.recorded import Recorded

IDENTICAL, DIFFERENT, FAILED = 0, 1, 2  # exit codes
NOT_RECORDED = "Nothing was recorded about its environment: there is no environment.json, as of earlier versions."


def main() -> None:
    arguments = _parser().parse_intermixed_args()
    try:
        with interruptible(), _folder_for(arguments.output) as output:
            identical, lines = reproduce(arguments.folder, output, changes=arguments.changes)
    except USER_ERRORS as error:
        print(f"error: {message_of(error)}", file=sys.stderr)
        sys.exit(FAILED)
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(interrupted.exit_code)
    print("\n".join(lines))
    sys.exit(IDENTICAL if identical else DIFFERENT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lightsweep.reproduce",
        description="Run a training again from its folder alone, and compare each epoch's metrics with those recorded.",
        epilog="Exit code 0: identical; 1: different; 2: it can't be trained again.",
    )
    parser.add_argument("folder", type=Path, help="folder of a trial, best/ of a search, or folder of a single run")
    parser.add_argument(
        "changes", nargs="*", metavar="key=value", help="values that are other ones here: data.path=/new/place/wine.csv"
    )
    parser.add_argument("--output", type=Path, help="a new folder that keeps the files of the training")
    return parser


@contextmanager
def _folder_for(output: Path | None) -> Iterator[Path]:
    """Yield the absolute path of the folder to train in, a temporary one if none is given."""
    if output is None:
        with tempfile.TemporaryDirectory(prefix="lightsweep-") as temporary:
            yield Path(temporary)
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        is_empty = not any(output.iterdir())
    except OSError as error:
        raise ConfigError(f"--output is {output}, which can't be created: {error.strerror}.") from None
    if not is_empty:
        raise ConfigError(f"--output is {output}, which holds files; give a new folder.")
    yield output.resolve()


def reproduce(folder: Path, output: Path, *, changes: Sequence[str] = ()) -> tuple[bool, list[str]]:
    """Train again in `output`. Return whether all that was recorded is the same now, and the report.

    Of a training with several folds each one is trained again, up to the first that differs. Raises `ConfigError` if
    the folder is not that of a training that ended, or the training can't start.
    """
    folds = fold_folders(folder)
    if not folds:
        return _reproduce(folder, output, changes=changes)
    lines = []
    for fold in folds:
        (output / fold.name).mkdir()
        identical, more = _reproduce(fold, output / fold.name, changes=changes)
        lines += [f"{fold.name}: {more[0]}", *more[1:]]
        if not identical:
            return False, lines
    return True, lines


def _reproduce(folder: Path, output: Path, *, changes: Sequence[str]) -> tuple[bool, list[str]]:
    from lightsweep.training.again import train_again
    from lightsweep.training.recorded import Recorded, causes, first_difference

    recorded = Recorded.read(folder.resolve())
    epochs = "until it fails" if recorded.n_epochs is None else f"{_count(recorded.n_epochs, 'epoch')}"
    print(f"{shown(folder)}: training again, {epochs}", file=sys.stderr, flush=True)
    now = train_again(recorded, output, changes=changes)
    difference, others = first_difference(recorded, now), causes(recorded, now, changes=changes)
    if difference is None:
        return True, [f"identical: {_compared(recorded)}", *_also(recorded, others)]
    return False, [f"different: {difference}", *_explained(recorded, others)]


def _compared(recorded: "Recorded") -> str:
    if not recorded.metrics:
        return "the result; csv/metrics.csv holds no metrics of epochs"
    return f"{_count(len(recorded.epochs), 'epoch')}, {_count(len(recorded.names), 'metric')}"


def _explained(recorded: "Recorded", lines: Sequence[str]) -> list[str]:
    if recorded.environment is None:
        return [NOT_RECORDED]
    if lines:
        return ["Likely causes:", *(f"  {line}" for line in lines)]
    return [
        "Versions, code, device, threads, seed and data are as recorded, so the training itself is not deterministic,"
        " or depends on what is not recorded, such as untracked files."
    ]


def _also(recorded: "Recorded", lines: Sequence[str]) -> list[str]:
    return [NOT_RECORDED] if recorded.environment is None else [f"  although {line}" for line in lines]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


if __name__ == "__main__":
    main()
