"""SIGINT and SIGTERM as an exception, wherever nothing better is made of them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

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
def interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Interrupted`, and raise it at the end if something on its way made less of it."""
    signalled: list[int] = []

    def interrupt(signum: int, _: object) -> None:
        signalled.append(signum)
        raise Interrupted(signum)

    previous = {signum: signal.signal(signum, interrupt) for signum in SIGNALS}
    try:
        yield
    except BaseException:  # an import may have made an ImportError of it
        if not signalled:
            raise
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
    if signalled:
        raise Interrupted(signalled[0])
