"""The code of a worker process: it runs one Hydra job after the other until the driver exits."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.errors import CompactHydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class App(NamedTuple):
    """What all jobs share."""

    hydra_context: HydraContext
    config: DictConfig
    task_function: TaskFunction
    singletons: Any  # the state of Hydra's singletons in the driver

    def pickled(self) -> bytes:
        """Pickle it; the task function of a script by value."""
        content = cloudpickle.dumps(self)
        assert isinstance(content, bytes)
        return content


_app: App
_job_is_running = threading.Lock()


def set_up(app: bytes) -> None:
    """Make this process a worker. It ignores SIGINT, which the driver handles."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_exit_with_driver, daemon=True).start()
    load(app)


def load(app: bytes) -> None:
    """Load what `App.pickled` returned, for the jobs that this process will run."""
    global _app
    _app = cloudpickle.loads(app)
    setup_globals()
    Singleton.set_state(_app.singletons)


def _exit_with_driver() -> None:
    """Exit when the driver has exited and the current job has ended; the executor's queue would wait forever."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    with _job_is_running:
        os._exit(1)


def run_pickled(number: int, overrides: list[str]) -> bytes:
    """Run a job and return a pickled `JobReturn`, or a pickled exception if the job failed before its task."""
    with _job_is_running:
        result = result_of(lambda: _run_job(number, overrides), overrides)
        returned = pickled(result)
        completed = isinstance(result, JobReturn) and result.status == JobStatus.COMPLETED
        del result
        if not completed:
            gc.collect()  # an exception and its traceback reference each other and keep the model alive
        return returned


def failed_job(overrides: Sequence[str], reason: str) -> JobReturn:
    job = JobReturn(overrides=list(overrides), status=JobStatus.FAILED)
    job.return_value = RuntimeError(reason)
    return job


def result_of(run: Callable[[], JobReturn], overrides: Sequence[str]) -> JobReturn | Exception:
    """Run a job; a worker outlives whatever the job raises."""
    try:
        return run()
    except SystemExit as error:
        return failed_job(overrides, f"it called sys.exit({error.code})")
    except Exception as error:  # noqa: BLE001  (raised in the driver)
        return error
    except BaseException as error:  # noqa: BLE001  (a worker outlives its jobs)
        return failed_job(overrides, f"it raised {type(error).__name__}")
    finally:
        sys.stdout.flush()  # a worker may be killed before the buffer is written


def _run_job(number: int, overrides: list[str]) -> JobReturn:
    config = _app.hydra_context.config_loader.load_sweep_config(_app.config, overrides)
    with open_dict(config):
        config.hydra.job.id = f"{config.hydra.job.name}_{number}"
        config.hydra.job.num = number
    return run_job(
        hydra_context=_app.hydra_context,
        config=config,
        task_function=_app.task_function,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def pickled(result: JobReturn | Exception) -> bytes:
    """Pickle a result. One that can't be pickled is replaced by an error with the reason."""
    try:
        content = cloudpickle.dumps(result)  # `JobReturn` drops tracebacks
        if isinstance(result, Exception):
            cloudpickle.loads(content)  # some exceptions can be pickled, but not unpickled
    except Exception as error:  # noqa: BLE001  (a user's class may raise anything)
        if isinstance(result, JobReturn):
            content = cloudpickle.dumps(failed_job(result.overrides or [], f"its result can't be sent: {error}"))
        else:
            picklable = CompactHydraException if isinstance(result, CompactHydraException) else RuntimeError
            content = cloudpickle.dumps(picklable(str(result)))
    assert isinstance(content, bytes)
    return content


def unpickled(content: bytes, overrides: Sequence[str]) -> JobReturn:
    """Read what `pickled` wrote; raise it if it is an exception."""
    try:
        result: Any = cloudpickle.loads(content)
    except Exception as error:  # noqa: BLE001  (a user's class may raise anything)
        return failed_job(overrides, f"its result can't be read: {error}")
    if isinstance(result, Exception):
        raise result
    assert isinstance(result, JobReturn)
    return result
