"""What ends a command from outside: SIGINT and SIGTERM as an exception, and a reader that closes its output."""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import Any, NoReturn, TextIO, cast

from lightsweep.errors import ConfigError

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


@contextmanager
def exits_on_error(*, stopped: str | None = None) -> Iterator[None]:
    """Let a command end with an error of the user as one message, and on Ctrl-C with the message `stopped`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        exit_if_output_is_closed()
        raise
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        if stopped:
            print(stopped, file=sys.stderr)
        sys.exit(130)


def exit_if_output_is_closed() -> None:
    """Exit with code 1 and without a message if the reader of the output has closed it."""
    output = select.poll()
    try:
        output.register(sys.stdout, 0)
    except (OSError, ValueError):  # stdout is not a file
        return
    if output.poll(0):
        _discard_output()
        sys.exit(1)


@contextmanager
def output_may_close() -> Iterator[None]:
    """Go on in the block when the reader of the output closes it: the rest of the output is lost, and nothing else."""
    with redirect_stdout(cast(TextIO, _Output(sys.stdout))):
        yield


class _Output:
    """The stream, whose errors of a closed reader are no errors."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except BrokenPipeError:
            _discard_output()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            _discard_output()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _discard_output() -> None:
    """Let what is still to be written, also by Python when it exits, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
