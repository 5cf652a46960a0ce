"""Signals as an exception: it comes through, whatever meets it on its way, and the handlers are as before."""

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


@pytest.mark.parametrize("made_of_it", [None, ImportError, SystemExit])
def test_a_signal_that_was_caught_or_renamed_is_one_all_the_same(made_of_it: type[BaseException] | None) -> None:
    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException as error:
            if made_of_it is not None:
                raise made_of_it from error

    with pytest.raises(Interrupted, match="SIGTERM"), interruptible():
        work()


def test_what_is_no_signal_is_left_as_it_is() -> None:
    with pytest.raises(SystemExit) as caught, interruptible():
        raise SystemExit(3)
    assert caught.value.code == 3


def test_a_signal_that_meets_a_finalizer_is_one_all_the_same_and_shows_no_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work() -> None:
        weakref.finalize(Interrupted(signal.SIGINT), os.kill, os.getpid(), signal.SIGINT)  # at once: nobody keeps it

    with pytest.raises(Interrupted), interruptible():
        work()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_process_that_exits_on_signals_shows_one_line(signum: signal.Signals) -> None:
    code = f"import os; from lightsweep import interrupt as i; i.exit_on_signals(); os.kill(os.getpid(), {signum:d})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (128 + signum, f"stopped by {signum.name}\n")
