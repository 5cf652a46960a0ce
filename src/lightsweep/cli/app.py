"""The app around a Hydra main function: an error that the user can fix is one message, any other has a traceback."""

import contextlib
import functools
import gc
import logging
import os
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig

from lightsweep.config.command_line import expand_arguments
from lightsweep.config.suggestions import message_of
from lightsweep.config.targets import check_user_targets
from lightsweep.errors import USER_ERRORS, ConfigError
from lightsweep.interrupt import Interrupted, exit_if_output_is_closed, exit_on_signals, interruptible
from lightsweep.storage.password import hide_in_arguments
from lightsweep.trial.outcome import Outcome

CONFIG_FLAGS = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn")  # where the config is
FILES_OF_EVERY_RUN = {".hydra", "train.log", "csv", "checkpoints", "environment.json", "code.diff"}
UNKNOWN_PLUGIN = "Unknown plugin class"  # the beginning of Hydra's message


def run_app(main: Callable[[], Any]) -> None:
    """Call a function decorated by `hydra.main`; exit with code 1 and one message on an error that the user can fix.

    A signal that the search or the training does not handle is one line and exit code 130 or 143.
    HYDRA_FULL_ERROR=1 shows every traceback.
    """
    exit_on_signals()
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises exceptions instead of printing them
    try:
        with interruptible():
            check_user_targets()
            sys.argv[1:] = hide_in_arguments(expand_arguments(sys.argv[1:], outputs=Path("outputs")))
            if asks_for_search(sys.argv[1:]):
                sys.argv.append("--multirun")
            main()
    except USER_ERRORS as error:
        if full_error:
            raise
        _exit_with(error)
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(interrupted.exit_code)
    except BrokenPipeError:
        exit_if_output_is_closed()
        raise
    except (HydraException, OSError, RuntimeError, TypeError, ValueError) as error:
        message = _message_of_hydra(error)
        if full_error or message is None:
            raise
        _exit_with(ConfigError(message))


def _message_of_hydra(error: Exception) -> str | None:
    """Return a message for what Hydra raises before it runs a job, None if it is not the user's to fix."""
    text, module = " ".join(str(error).split()), _raised_in(error)
    if text.startswith(UNKNOWN_PLUGIN):
        return f"{text}. Choose hydra/sweeper and hydra/launcher, and leave their _target_ alone."
    if text.startswith("Config group override must be"):
        return "a config group can't be null, except optimizer and logger. Choose one of its options."
    if not module.startswith("hydra."):
        return None
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith("full_key: hydra.")]
    if isinstance(error, InstantiationException) or notes:
        return f"{notes[0].removeprefix('full_key: ')}: {text}" if notes else text
    if isinstance(error, OSError) and error.filename:
        return (
            f"the folder {error.filename} can't be created: {error.strerror}. Choose a writable folder with"
            " hydra.run.dir=..., or hydra.sweep.dir=... for a search."
        )
    return None


def _raised_in(error: Exception) -> str:
    """Return the module of the innermost frame that is not the standard library's `pathlib` or `os`."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((name for name in reversed(modules) if name not in ("pathlib", "os")), "")


def asks_for_search(arguments: Sequence[str]) -> bool:
    """True if the arguments choose `hparams_search` and leave the mode open.

    Hydra reads its mode from the command line alone, so the group can't set it.
    """
    chosen = any(re.fullmatch(r"hparams_search=(?!null$).+", argument) for argument in arguments)
    modes = [a for a in arguments if a.startswith(("-", "hydra.mode=")) and a.split("=")[0] not in CONFIG_FLAGS]
    return chosen and not modes


def handle_failures(task: Callable[[DictConfig], Outcome]) -> Callable[[DictConfig], Outcome]:
    """Decorate a task: a run outside a search exits with the message alone, and without its folder if it is empty.

    In a search errors of the config are raised, for the sweeper to judge. Any other failure is returned as an outcome,
    so that neither the exception nor the model in its traceback outlives the trial.
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


def _outcome_in_search(task: Callable[[DictConfig], Outcome], cfg: DictConfig) -> Outcome:
    from lightsweep.trial.driver import end_job
    from lightsweep.trial.time_limit import lift_time_limit

    try:
        return task(cfg)
    except USER_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001  (a failed trial is a result)
        from lightsweep.training.fit import save_failure

        return save_failure(error, cfg)
    finally:
        lift_time_limit()
        end_job()
        free_memory()


def _remove_if_unused(folder: Path) -> None:
    logging.shutdown()  # closes the run's log file
    if {entry.name for entry in folder.iterdir()} <= FILES_OF_EVERY_RUN:
        shutil.rmtree(folder, ignore_errors=True)


def _exit_with(error: Exception) -> NoReturn:
    print(f"error: {message_of(error)}", file=sys.stderr)
    sys.exit(1)


def free_memory() -> None:
    """Free the trainer, the model and the loaders, which refer to each other."""
    gc.collect()
    _freeze_libraries()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@functools.lru_cache(maxsize=1)  # once per process
def _freeze_libraries() -> None:
    """Exclude the imported modules from further collections, which makes each 0.1 s faster."""
    gc.freeze()


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the garbage collector during imports, which make many objects; this saves half a second."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
