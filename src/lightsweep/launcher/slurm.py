"""The jobs of one search in Slurm, or in submitit's local executor: which of them have ended, and how to end them."""

import secrets
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Any

import psutil

LOOK_S = 5.0  # between two calls of `squeue`, for all jobs of a search together
COMMAND_S = 60.0  # that a busy scheduler may need for an answer
SIGNAL_S = 4.0  # that jobs may need to end by a signal
KILL_S = 10.0  # that cancelled jobs may need to leave the queue
ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
}
GONE = "unknown to Slurm"


class SlurmJobs:
    """The jobs of one search. They have a name that no other search has, by which `squeue` and `scancel` find them.

    `squeue` knows a job that has ended for some minutes. Unlike `sacct` it needs no accounting.
    """

    def __init__(self, name: str) -> None:
        self.name = f"{name}-{secrets.token_hex(4)}"
        self._states: dict[str, str] = {}  # by job id
        self._known_at = self._looked_at = float("-inf")
        self._cancelled_at = float("-inf")
        self._lock = threading.Lock()

    def params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that differ from those given."""
        time_limit_s = 60 * params["timeout_min"]
        return {
            "name": self.name,
            # The signal before the time limit must not come before the job has begun.
            "signal_delay_s": min(params["signal_delay_s"], time_limit_s // 2),
            # The search submits again what was preempted; Slurm would run the old trial again.
            "additional_parameters": {"no-requeue": True, **params["additional_parameters"]},
        }

    def add(self, job: Any) -> None:
        """Do nothing: Slurm finds the job by its name."""

    def end_of(self, job_id: str, *, since: float) -> str | None:
        """Return the state of a job that has ended, None while it waits or runs. It was submitted at `since`."""
        with self._lock:
            if time.monotonic() > self._looked_at + LOOK_S:
                self._look()
            if self._known_at < since:
                return None
            state = self._states.get(job_id, GONE)
            return state if state in ENDED or state == GONE else None

    def cancel_queued(self) -> None:
        """Cancel the jobs that have not begun."""
        with self._lock:
            if time.monotonic() > self._cancelled_at + LOOK_S:
                _run("scancel", "--quiet", "--state=PENDING", f"--name={self.name}")
                self._cancelled_at = time.monotonic()
                self._looked_at = float("-inf")

    def kill(self) -> None:
        """Kill all jobs, and wait until they have left the queue.

        Slurm sends SIGTERM first, also if SIGKILL is asked for, and waits half a minute for jobs that handle it. They
        do not handle SIGHUP, which must reach them before: Slurm sends no signal to a job that it is ending.
        """
        _run("scancel", "--quiet", "--state=PENDING", f"--name={self.name}")
        deadline = time.monotonic() + SIGNAL_S
        while time.monotonic() < deadline:  # a job that is about to begin gets no signal either
            _run("scancel", "--quiet", "--full", "--signal=HUP", f"--name={self.name}")
            if self._queue_is_empty_within(1.0):
                break
        else:
            _run("scancel", "--quiet", f"--name={self.name}")
            self._queue_is_empty_within(KILL_S)
        self._looked_at = float("-inf")

    def _queue_is_empty_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while _run("squeue", "--noheader", f"--name={self.name}"):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def _look(self) -> None:
        self._looked_at = now = time.monotonic()
        output = _run("squeue", "--noheader", "--states=all", "--format=%i %T", f"--name={self.name}")
        if output is not None:  # else the controller does not answer, and nothing is known
            self._states = dict(line.split()[:2] for line in output.splitlines())
            self._known_at = now


class LocalJobs:
    """The jobs of one search in submitit's local executor: each is a process that starts the job's own."""

    def __init__(self) -> None:
        self._jobs: dict[str, Any] = {}

    def params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def add(self, job: Any) -> None:
        self._jobs[job.job_id] = job

    def end_of(self, job_id: str, *, since: float) -> str | None:
        job = self._jobs[job_id]
        return str(job.state) if job.done() else None

    def cancel_queued(self) -> None:
        """Do nothing: a local job begins at once."""

    def kill(self) -> None:
        for job_id, job in list(self._jobs.items()):
            if job.done():
                continue
            controller = psutil.Process(int(job_id))  # submitit's local job has the id of its process
            for process in [controller, *controller.children(recursive=True)]:
                process.kill()


def _run(*command: str) -> str | None:
    """Return what a command of Slurm prints, None if it fails."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=True,
            start_new_session=True,  # a Ctrl-C is sent to every process of a terminal
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def why_unusable() -> str | None:
    """Return the reason why this machine can't submit to Slurm, None if it can."""
    try:
        subprocess.run(["squeue", "--noheader", "--me"], capture_output=True, text=True, timeout=COMMAND_S, check=True)
    except FileNotFoundError:
        return "there is no squeue on this machine"
    except subprocess.CalledProcessError as error:
        return " ".join(error.stderr.split()) or f"squeue ended with exit code {error.returncode}"
    except subprocess.TimeoutExpired:
        return f"squeue gave no answer within {COMMAND_S:g} s"
    return None
