"""Runs a Hydra app such that what the user can mend is one message, and what they can't keeps its traceback."""

import contextlib
import functools
import gc
import logging
import os
import re
import select
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightsweep.config.command_line import expand_aliases, expand_resume
from lightsweep.config.suggestions import message_of
from lightsweep.config.targets import check_user_targets
from lightsweep.errors import USER_ERRORS, ConfigError
from lightsweep.interrupt import Interrupted, exit_on_signals, interruptible
from lightsweep.storage.password import out_of_the_command
from lightsweep.trial.outcome import Outcome

SAY_WHERE = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn")  # the config is, not what to do
UNKNOWN_PLUGIN = "Unknown plugin class"  # what Hydra says of a sweeper or launcher that it has not found


def run_app(main: Callable[[], Any]) -> None:
    """Call a function decorated by `hydra.main`; exit with 1 and one message if the user can mend what failed.

    A signal that a search or a training does not act on itself is one line and exit code 130 or 143.
    HYDRA_FULL_ERROR=1 shows the traceback of the errors that the user can mend too.
    """
    exit_on_signals()
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra pass exceptions on instead of printing them
    try:
        with interruptible():
            check_user_targets()
            sys.argv[1:] = out_of_the_command(expand_resume(expand_aliases(sys.argv[1:]), outputs=Path("outputs")))
            if asks_for_search(sys.argv[1:]):
                sys.argv.append("--multirun")
            main()
    except USER_ERRORS as error:
        if full_error:
            raise
        _exit_with(error)
    except RuntimeError as error:
        if full_error or not str(error).startswith(UNKNOWN_PLUGIN):
            raise
        _exit_with(ConfigError(f"{error}. Choose hydra/sweeper and hydra/launcher, and leave their _target_ alone."))
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(interrupted.exit_code)
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where Python writes the rest when it ends
        sys.exit(1)


def _nobody_reads() -> bool:
    """Whether what reads the output has enough of it, as `head` has."""
    output = select.poll()
    try:
        output.register(sys.stdout, 0)
    except (OSError, ValueError):  # it is no file
        return False
    return bool(output.poll(0))


def handle_failures(task: Callable[[DictConfig], Outcome]) -> Callable[[DictConfig], Outcome]:
    """Let a run outside a search exit with the message alone, and take back its folder if it holds no result.

    Inside a search what the config is to blame for is raised, for the sweeper to judge; any other failure is an
    outcome like any other, so that neither the exception nor the model that its traceback holds outlives the trial.
    """

    @functools.wraps(task)
    def run(cfg: DictConfig) -> Outcome:
        from lightsweep.trial.context import in_search

        if in_search():
            return _outcome_in_search(task, cfg)
        try:
            return task(cfg)
        except ConfigError as error:
            _remove_if_unused(Path(HydraConfig.get().runtime.output_dir))
            _exit_with(error)

    return run


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    """Look for no garbage while libraries are imported: that makes many objects, and saves half a second."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _outcome_in_search(task: Callable[[DictConfig], Outcome], cfg: DictConfig) -> Outcome:
    from lightsweep.trial.driver import end_job
    from lightsweep.trial.time_limit import lift_time_limit

    try:
        return task(cfg)
    except USER_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001  (a failure is data)
        from lightsweep.training.fit import outcome_of_failure

        return outcome_of_failure(error, cfg)
    finally:
        lift_time_limit()
        end_job()
        free_memory()


def free_memory() -> None:
    """Free what a training left in reference cycles: trainer, model and loaders refer to each other."""
    gc.collect()
    _freeze_libraries()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@functools.lru_cache(maxsize=1)  # once per process
def _freeze_libraries() -> None:
    """Leave out of all further collections what the first training has imported: each takes 0.1 s less by that."""
    gc.freeze()


def _exit_with(error: Exception) -> NoReturn:
    print(f"error: {message_of(error)}", file=sys.stderr)
    sys.exit(1)


def _remove_if_unused(folder: Path) -> None:
    logging.shutdown()  # closes the run's log file
    if {entry.name for entry in folder.iterdir()} <= {".hydra", "train.log", "csv", "checkpoints"}:
        shutil.rmtree(folder, ignore_errors=True)


def asks_for_search(arguments: Sequence[str]) -> bool:
    """Whether `hparams_search=...` was given without a word on how to run it.

    Hydra reads its mode from the command line alone, so a group cannot choose it.
    """
    chosen = any(re.fullmatch(r"hparams_search=(?!null$).+", argument) for argument in arguments)
    says_how = [a for a in arguments if a.startswith(("-", "hydra.mode=")) and a.split("=")[0] not in SAY_WHERE]
    return chosen and not says_how
