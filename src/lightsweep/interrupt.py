"""SIGINT and SIGTERM as an exception, for the code that does not handle them itself."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A user or a scheduler stopped this process.

    Not an `Exception`, which would count as a failed training, nor a `KeyboardInterrupt`, which Lightning turns into
    exit code 1.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Handle SIGINT and SIGTERM with this function in the block, and restore the previous handlers after it."""
    previous = {signum: signal.signal(signum, handler) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, former in previous.items():
            signal.signal(signum, former)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` on SIGINT and SIGTERM, at the end of the block if other code caught or replaced it.

    For example, an import turns it into an ImportError, and a finalizer can't raise at all.
    """
    signalled: list[int] = []

    def interrupt(signum: int, _: object) -> None:
        signalled.append(signum)
        raise Interrupted(signum)

    unraisable = sys.unraisablehook
    sys.unraisablehook = lambda it: None if it.exc_type is Interrupted else unraisable(it)
    try:
        with handled_by(interrupt):
            yield
    except BaseException:
        if not signalled:
            raise
    finally:
        sys.unraisablehook = unraisable
    if signalled:
        raise Interrupted(signalled[0])


def exit_on_signals() -> None:
    """Exit with one line on SIGINT and SIGTERM, also while the interpreter shuts down and nothing can be raised."""
    for signum in SIGNALS:
        signal.signal(signum, _exit_at_once)


def _exit_at_once(signum: int, _: object) -> NoReturn:
    interrupted = Interrupted(signum)
    os.write(2, f"{interrupted}\n".encode())  # the signal may have interrupted `print`
    os._exit(interrupted.exit_code)
