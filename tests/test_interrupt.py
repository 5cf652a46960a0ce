"""Signals as an exception, which other code can't hide; the former handlers are restored."""

import os
import signal
import subprocess
import sys
import weakref

import pytest

from lightsweep.interrupt import SIGNALS, Interrupted, interruptible


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_is_an_exception_with_its_name_and_exit_code(signum: signal.Signals) -> None:
    before = [signal.getsignal(s) for s in SIGNALS]
    with pytest.raises(Interrupted, match=f"^stopped by {signum.name}$") as caught, interruptible():
        os.kill(os.getpid(), signum)
    assert caught.value.exit_code == 128 + signum
    assert [signal.getsignal(s) for s in SIGNALS] == before


@pytest.mark.parametrize("replacement", [None, ImportError, SystemExit])
def test_a_signal_is_raised_although_other_code_caught_or_replaced_it(replacement: type[BaseException] | None) -> None:
    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException as error:
            if replacement is not None:
                raise replacement from error

    with pytest.raises(Interrupted, match="SIGTERM"), interruptible():
        work()


def test_other_exceptions_pass_through() -> None:
    with pytest.raises(SystemExit) as caught, interruptible():
        raise SystemExit(3)
    assert caught.value.code == 3


def test_a_signal_within_a_finalizer_is_raised_without_a_traceback_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work() -> None:
        weakref.finalize(
            Interrupted(signal.SIGINT), os.kill, os.getpid(), signal.SIGINT
        )  # runs at once, without a reference

    with pytest.raises(Interrupted), interruptible():
        work()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_process_that_exits_on_signals_shows_one_line(signum: signal.Signals) -> None:
    code = f"import os; from lightsweep import interrupt as i; i.exit_on_signals(); os.kill(os.getpid(), {signum:d})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (128 + signum, f"stopped by {signum.name}\n")
