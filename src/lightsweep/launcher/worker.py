"""What runs in a worker process: one Hydra job after the other, until the driver closes the connection."""

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.errors import CompactHydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

# What the driver runs: SIGINT, which a terminal may send to every process, is the driver's to act on, and the
# modules of the task function are found as the driver finds them.
START = """\
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
from lightsweep.launcher.worker import work
work({fd})
"""


@dataclass(frozen=True, kw_only=True)
class App:
    """What all jobs of a launcher have in common; it is sent once."""

    config: DictConfig
    hydra_context: HydraContext
    task_function: TaskFunction
    singletons: Any
    serves_search: bool


def work(fd: int) -> None:
    """Run the jobs that come over the connection, and leave when it is closed or the driver is gone."""
    os.set_inheritable(fd, False)
    with Connection(fd) as driver, contextlib.suppress(EOFError, ConnectionError):
        app: App = cloudpickle.loads(driver.recv_bytes())
        setup_globals()
        Singleton.set_state(app.singletons)
        while True:
            number, overrides = driver.recv()
            answer = _answer(app, number, overrides)
            driver.send_bytes(_pickled(answer))
            completed = isinstance(answer, JobReturn) and answer.status == JobStatus.COMPLETED
            del answer
            if not completed:
                gc.collect()  # an exception and its traceback hold each other, and with them the model


def failed_job(overrides: Sequence[str], reason: str) -> JobReturn:
    return JobReturn(overrides=list(overrides), status=JobStatus.FAILED, _return_value=RuntimeError(reason))


def _answer(app: App, number: int, overrides: Sequence[str]) -> JobReturn | Exception:
    """The job's return; or an exception for the launcher to raise, because the job did not get as far as its task."""
    try:
        return _run(app, number, overrides)
    except SystemExit as leaving:
        return failed_job(overrides, f"it called sys.exit({leaving.code})")
    except Exception as error:  # noqa: BLE001  (raised in the driver)
        return error
    except BaseException as error:  # noqa: BLE001  (a worker outlives its jobs)
        return failed_job(overrides, f"it raised {type(error).__name__}")
    finally:
        sys.stdout.flush()  # a worker may be killed before it writes the rest


def _run(app: App, number: int, overrides: Sequence[str]) -> JobReturn:
    config = app.hydra_context.config_loader.load_sweep_config(app.config, list(overrides))
    with open_dict(config):
        config.hydra.job.id = f"{config.hydra.job.name}_{number}"
        config.hydra.job.num = number
    if app.serves_search:
        from lightsweep.launcher.job import run_search_job

        return run_search_job(hydra_context=app.hydra_context, config=config, task_function=app.task_function)
    return run_job(
        hydra_context=app.hydra_context,
        config=config,
        task_function=app.task_function,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _pickled(answer: JobReturn | Exception) -> bytes:
    """The answer, which `JobReturn` strips of tracebacks; what can't be sent is replaced by what says so."""
    try:
        pickled = cloudpickle.dumps(answer)
        if isinstance(answer, Exception):
            cloudpickle.loads(pickled)  # many an exception can be written, but not read
    except Exception as error:  # noqa: BLE001  (anything may go wrong in the methods of another's class)
        if isinstance(answer, JobReturn):
            pickled = cloudpickle.dumps(failed_job(answer.overrides or [], f"its result can't be sent: {error}"))
        else:
            plain = CompactHydraException if isinstance(answer, CompactHydraException) else RuntimeError
            pickled = cloudpickle.dumps(plain(str(answer)))
    assert isinstance(pickled, bytes)
    return pickled
