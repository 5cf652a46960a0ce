"""`train.py -m ... preflight=true`, run as a user does."""

import signal
import time
from pathlib import Path

import pytest

from tests.command import FAULTY, TRUST, Ran, start, train


def preflight(*arguments: str, cwd: Path) -> Ran:
    ran = train("-m", "hparams_search=mlp", "preflight=true", *arguments, "confirm=default", cwd=cwd, **TRUST)
    assert list(cwd.iterdir()) == [], "a preflight must leave no files behind"
    assert "Traceback" not in ran.out + ran.err
    return ran


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2"]])
def test_a_valid_search_passes_with_its_space_and_its_estimate(launcher: list[str], tmp_path: Path) -> None:
    ran = preflight(*launcher, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.err == ""
    for part in ("Search space (", "\n  model.n_layers ", "\n  smallest ", "\n  largest ", "4,810", "150,794"):
        assert part in ran.out
    for label in ("a trial ", "the search ", "confirm ", "disk ", "free "):
        assert f"\n  {label}" in ran.out
    last = ran.out.splitlines()[-1]
    assert last.startswith("Preflight passed and left no files behind. Start the search: python ")
    assert last.endswith(" ".join(["-m hparams_search=mlp", *launcher, "confirm=default"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["monitor=val/accuracy"],
            "error: the smallest and the largest model: monitor is 'val/accuracy', which the model did not log",
        ),
        ([FAULTY, "model.hidden_size=choice(8,16)"], "error: the largest model (model.n_layers=3 "),
        (
            [FAULTY, "model.hidden_size=choice(16,24)"],
            "error: 2 things are wrong\n- the smallest model (model.n_layers=1 model.hidden_size=16",
        ),
    ],
)
def test_the_model_that_fails_is_named(arguments: list[str], message: str, tmp_path: Path) -> None:
    ran = preflight(*arguments, cwd=tmp_path)
    assert ran.code == 1
    assert ran.err.startswith(message)
    assert "Preflight passed" not in ran.out


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2"]])
def test_a_preflight_that_is_stopped_leaves_no_files_behind(
    signum: signal.Signals, launcher: list[str], tmp_path: Path
) -> None:
    slow = ("data=synthetic", "data.n_samples=20000", "model.hidden_size=4096,8192")
    process = start("-m", "hparams_search=mlp", "preflight=true", *slow, *launcher, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".preflight-*/smallest")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) != [], "the dry run must have started"
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    assert err == f"The preflight was stopped by {signum.name}.\n"
    assert list(tmp_path.iterdir()) == []
