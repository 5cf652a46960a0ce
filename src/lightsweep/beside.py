"""What takes a while to load and to do, done by a process beside, which has loaded it before it is asked for."""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pkgutil import resolve_name
from typing import Any, BinaryIO

from lightsweep.garbage import collect_seldom

SECONDS_IDLE = 60.0  # after which the process ends by itself: it holds as much memory as what it has loaded
SECONDS_TO_WAIT = 120.0  # until it is taken for hung
DONE = b"\n"

# SIGINT, which a terminal may send to every process, is the first one's to act on. What is printed is no answer.
SERVE = """\
import os, pickle, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
sys.path[:] = pickle.load(sys.stdin.buffer)
from lightsweep.beside import serve
serve(sys.stdin.buffer, answers)
"""


class Beside:
    """A Python process that calls functions, one after the other, while this one goes on.

    A function is named as `pkgutil.resolve_name` takes it, `package.module:function`. What the process fails to do,
    because it was not begun, or is gone, or the function raises, is done by this one where it is waited for.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = ThreadPoolExecutor(1)  # it waits for the answers

    def begin(self) -> bool:
        """Start the process; False if it is there already, or can't be started."""
        if self._process is not None and self._process.poll() is None:
            return False
        self.end()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError:  # there are too many processes, or there is no memory
            return False
        self._thread.submit(self._give, sys.path)
        return True

    def do(self, name: str, *args: Any, **kwargs: Any) -> Callable[[], None]:
        """Let the process call a function; returns what waits until that is done, and raises what it raises."""
        if self._process is None:
            return lambda: resolve_name(name)(*args, **kwargs)
        done = self._thread.submit(self._is_done, name, args, kwargs)

        def wait() -> None:
            try:
                is_done = done.result(SECONDS_TO_WAIT)
            except TimeoutError:
                self.end()
                is_done = False
            if not is_done:
                resolve_name(name)(*args, **kwargs)

        return wait

    def end(self) -> None:
        """End the process, whatever it does; another may be begun."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()  # it has nothing to tidy up
            self._thread.shutdown()  # nobody answers any more
            with suppress(OSError):
                process.communicate()
            self._thread = ThreadPoolExecutor(1)

    def _give(self, what: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(pickle.dumps(what))
        self._process.stdin.flush()

    def _is_done(self, *call: Any) -> bool:
        process = self._process
        if process is None or process.stdout is None:
            return False
        try:
            self._give(call)
        except Exception:  # noqa: BLE001  (the process is gone, or an argument can't be pickled)
            return False
        return process.stdout.read(len(DONE)) == DONE


BESIDE = Beside()  # of this process


def serve(given: BinaryIO, answers: BinaryIO) -> None:
    """Call the functions that are given until there are no more, or none for a while."""
    collect_seldom()
    while True:
        idle = threading.Timer(SECONDS_IDLE, os._exit, [0])
        idle.daemon = True
        idle.start()
        try:
            name, args, kwargs = pickle.load(given)  # noqa: S301  (of the process that began this one)
        except EOFError:
            return
        finally:
            idle.cancel()
        resolve_name(name)(*args, **kwargs)
        answers.write(DONE)
        answers.flush()
