"""SIGINT and SIGTERM as an exception, wherever nothing better is made of them."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """Somebody, or a scheduler, stopped this process.

    Not an `Exception`, which would be taken for a failed training, nor a `KeyboardInterrupt`, of which Lightning makes
    exit code 1.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Let this function handle SIGINT and SIGTERM in the block, and the former handlers again after it."""
    previous = {signum: signal.signal(signum, handler) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, former in previous.items():
            signal.signal(signum, former)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Interrupted`, and raise it at the end if something on its way made less of it.

    An import may have made an ImportError of it, and a finalizer can raise nothing at all.
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
    """Let SIGINT and SIGTERM end the process with one line, also when it is about to exit and nothing can be raised."""
    for signum in SIGNALS:
        signal.signal(signum, _exit_at_once)


def _exit_at_once(signum: int, _: object) -> NoReturn:
    interrupted = Interrupted(signum)
    os.write(2, f"{interrupted}\n".encode())  # `print` may be what was interrupted
    os._exit(interrupted.exit_code)
