"""What runs in a worker process: one Hydra job after the other, as long as the driver lives."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.errors import CompactHydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

App = tuple[HydraContext, DictConfig, TaskFunction, Any]  # what all jobs have in common, and Hydra's singletons

_app: App
_at_work = threading.Lock()


def set_up(app: bytes) -> None:
    """Make this process a worker. SIGINT is the driver's to act on."""
    global _app
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_leave_with_driver, daemon=True).start()
    _app = cloudpickle.loads(app)
    setup_globals()
    Singleton.set_state(_app[3])


def run_pickled(number: int, overrides: list[str]) -> bytes:
    """Run a job; gives a pickled `JobReturn`, or an exception if the job did not get as far as its task."""
    with _at_work:
        answer = _answer(number, overrides)
        pickled = _pickled(answer)
        completed = isinstance(answer, JobReturn) and answer.status == JobStatus.COMPLETED
        del answer
        if not completed:
            gc.collect()  # an exception and its traceback hold each other, and with them the model
        return pickled


def failed_job(overrides: Sequence[str], reason: str) -> JobReturn:
    job = JobReturn(overrides=list(overrides), status=JobStatus.FAILED)
    job.return_value = RuntimeError(reason)
    return job


def _leave_with_driver() -> None:
    """End this process, after its job, when the driver is gone; its queue would wait for ever."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    with _at_work:
        os._exit(1)


def _answer(number: int, overrides: list[str]) -> JobReturn | Exception:
    try:
        return _run_job(number, overrides)
    except SystemExit as leaving:
        return failed_job(overrides, f"it called sys.exit({leaving.code})")
    except Exception as error:  # noqa: BLE001  (raised in the driver)
        return error
    except BaseException as error:  # noqa: BLE001  (a worker outlives its jobs)
        return failed_job(overrides, f"it raised {type(error).__name__}")
    finally:
        sys.stdout.flush()  # a worker may be killed before it writes the rest


def _run_job(number: int, overrides: list[str]) -> JobReturn:
    hydra_context, master_config, task_function, _ = _app
    config = hydra_context.config_loader.load_sweep_config(master_config, overrides)
    with open_dict(config):
        config.hydra.job.id = f"{config.hydra.job.name}_{number}"
        config.hydra.job.num = number
    return run_job(
        hydra_context=hydra_context,
        config=config,
        task_function=task_function,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _pickled(answer: JobReturn | Exception) -> bytes:
    """Pickle the answer, which `JobReturn` strips of tracebacks; what can't be sent is replaced by what says so."""
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
