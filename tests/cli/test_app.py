"""An error that the user can fix is one message on stderr and exit code 1, and leaves no files."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lightsweep.cli import app
from lightsweep.cli.app import asks_for_search, run_app
from lightsweep.config.suggestions import closest_keys
from lightsweep.interrupt import SIGNALS
from tests.command import FIXED, ROOT, SMALL, succeed, the_folder, train

SEARCH = "hparams_search=mlp"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["hparams_search=mlp"], True),
        (["data=synthetic", "hparams_search=mlp", "hydra.sweeper.n_trials=3"], True),
        (["-m", "hparams_search=mlp"], False),
        (["hparams_search=mlp", "--multirun"], False),
        (["hparams_search=mlp", "hydra.mode=RUN"], False),
        (["hparams_search=mlp", "--cfg", "job"], False),
        (["--config-dir", "my/conf", "hparams_search=mlp"], True),
        (["--config-dir=my/conf", "hparams_search=mlp"], True),
        (["--config-dir", "my/conf", "-m", "hparams_search=mlp"], False),
        (["hparams_search=null"], False),
        (["model.n_layers=2"], False),
        ([], False),
    ],
)
def test_a_search_space_starts_a_search_unless_the_user_sets_the_mode(arguments: list[str], expected: bool) -> None:
    assert asks_for_search(arguments) is expected


@pytest.mark.parametrize(
    ("key", "closest"),
    [
        ("lr", ["optimizer.lr"]),
        ("model.n_layer", ["model.n_layers"]),
        ("mode.n_layers", ["model.n_layers"]),
        ("model.batch_size", ["data.batch_size"]),
        ("xyzzy", []),
    ],
)
def test_similar_keys_are_suggested_for_an_unknown_one(key: str, closest: list[str]) -> None:
    assert closest_keys(key, ["model", "model.n_layers", "optimizer.lr", "data.batch_size"])[:1] == closest


@pytest.mark.parametrize("run", ["run_app(main)", "with exits_on_error(): main()"])
def test_a_reader_that_closes_the_output_causes_no_error(run: str, tmp_path: Path) -> None:
    code = (
        "from lightsweep.cli.app import run_app\nfrom lightsweep.interrupt import exits_on_error\ndef main():\n"
        f"    while True: print('a line of a long text')\n{run}"
    )
    command = f'{sys.executable} -c "{code}" | head -1; exit ${{PIPESTATUS[0]}}'
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "a line of a long text\n", "")


@pytest.fixture
def _app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `run_app` run in the process of the tests."""
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setattr(app, "exit_on_signals", lambda: None)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")


@pytest.mark.usefixtures("_app")
def test_any_other_broken_pipe_keeps_its_traceback() -> None:
    def main() -> None:
        raise BrokenPipeError("of a database")

    with pytest.raises(BrokenPipeError, match="database"):
        run_app(main)


@pytest.mark.usefixtures("_app")
@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_that_is_not_handled_is_one_line(signum: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run_app(lambda: os.kill(os.getpid(), signum))
    assert left.value.code == 128 + signum
    assert capsys.readouterr().err == f"stopped by {signum.name}\n"


def rejected(*arguments: str, cwd: Path) -> str:
    """Return the error message, which must be the only output, and check that no files are left."""
    ran = train(*arguments, cwd=cwd)
    assert ran.code == 1, ran.out + ran.err
    assert "Traceback" not in ran.out + ran.err
    assert ran.out == ""
    message = ran.err[ran.err.index("error: ") :]
    assert ran.err.count("error: ") == 1
    assert [p for p in cwd.rglob("*") if p.is_file()] == []
    if SEARCH in arguments:
        assert list(cwd.iterdir()) == []
    return message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["data=digit"], ["Could not find 'data/digit'", "digits", "Did you mean digits?"]),
        (["hparams_search=mlpp"], ["Could not find 'hparams_search/mlpp'", "Did you mean mlp or mlp_wide?"]),
        (
            ["modl=mlp"],
            ["error: modl=mlp: the config has no key 'modl'. Did you mean model? To add it, write +modl=mlp"],
        ),
        (["lr=0.1"], ["error: lr=0.1: the config has no key 'lr'. Did you mean optimizer.lr?"]),
        (["model=null"], ["a config group can't be null"]),
        (["optimizer=null"], ["optimizer is null, but this model needs one"]),
        (["hydra.run.dir=/proc/nowhere"], ["the folder /proc/nowhere can't be created", "hydra.run.dir="]),
        (["+hydra.callbacks.x._target_=os.system"], ["Target 'os.system'", "full_key: hydra.callbacks.x"]),
        (["+model.depth=3"], ["model: ", "unexpected keyword argument 'depth'"]),
        (["model.hidden_size=-64", "data.batch_size=0"], ["model.hidden_size is -64", "data.batch_size is 0"]),
        (["monitor=val/surprise"], ["direction is not known: ", "Add direction=maximize or direction=minimize."]),
        (
            ["monitor=val/rmse"],
            ["monitor is 'val/rmse', but the task of the data is multiclass", "Set monitor=val/acc"],
        ),
        (["data=synthetic", "data.n_samples=20"], ["data: 20 rows of ", "are too few", "Give more rows"]),
        (["model.activation=rellu"], ["model.activation is 'rellu'", "relu, gelu"]),
        (["monitor=val/accuracy", "verbose=false"], ["monitor is 'val/accuracy'", "It logged: val/acc, val/auroc,"]),
        (["model._target_=os.system"], ["os.system", "whitelist", "model"]),
        (["trainer=gpu", "verbose=false"], ["trainer: ", "gpu"]),
        ([SEARCH, "model.hidden_size=64", *FIXED], ["nothing is left to search", "model.hidden_size, model.n_layers"]),
        ([SEARCH, "hydra.sweeper._target_=os.system"], ["Unknown plugin class : 'os.system'", "leave their _target_"]),
        (["-m", "hydra/sweeper=lightsweep"], ["error: hydra.sweeper.study_name is not given. Set it in a YAML file,"]),
        ([SEARCH, "hydra.launcher=null"], ["hydra.launcher has no _target_. Choose one with hydra/launcher=..."]),
        ([SEARCH, "hydra.sweeper.n_trials=ten"], ["hydra.sweeper.n_trials=ten", "could not be converted to Integer"]),
        (["workers=2"], ["hydra.sweeper.n_jobs=2: only a search has this setting. Choose one, such as hparams_search"]),
        (["preflight=true"], ["hydra.sweeper.preflight=true: only a search has this setting."]),
        ([SEARCH, "workers=none"], ["workers is 'none'; it must be a whole number of at least 1, or auto."]),
        ([SEARCH, "hydra.sweeper.n_job=2"], ["has no key 'hydra.sweeper.n_job'", "n_jobs"]),
        ([SEARCH, "+hydra.sweeper.n_trial=2"], ["hydra.sweeper.n_trial is 2", "Did you mean hydra.sweeper.n_trials?"]),
        ([SEARCH, "+hydra.launcher.nosuch=1"], ["hydra.launcher: ", "'nosuch'"]),
        ([SEARCH, "seed=1,2"], ["the search varies seed: 1, 2.", "seed=<number>"]),
        (
            [SEARCH, "model.layer_sizes=choice(null,[64])"],
            ["can't hold null", "by commas instead: 'model.layer_sizes=null,[64]'"],
        ),
        ([SEARCH, "hydra.sweeper.storage=nosql://u:secret@host/db"], ["nosql://u:***@host/db"]),
        ([SEARCH, "optimizer.lr=interval(1"], ["optimizer.lr=interval(1"]),
        (
            [SEARCH, "hydra/sweeper/pruner=medan"],
            ["Could not find 'hydra/sweeper/pruner/medan'", "Did you mean median"],
        ),
        ([SEARCH, "hydra.sweeper.pruner._target_=os.system"], ["os.system", "whitelist", "hydra.sweeper.pruner"]),
        ([SEARCH, "monitor=val/accuracy"], ["monitor is 'val/accuracy'", "It logged: val/acc, val/auroc,"]),
        ([SEARCH, "logger.csv._target_=os.remove", "hydra.sweeper.n_trials=1"], ["os.remove", "allowlist"]),
    ],
)
def test_an_error_that_the_user_can_fix_is_one_message(arguments: list[str], parts: list[str], tmp_path: Path) -> None:
    message = rejected(*arguments, cwd=tmp_path)
    for part in parts:
        assert part in message
    assert "secret" not in message


@pytest.mark.slow
def test_a_warning_names_the_parameters_that_the_command_line_fixes(tmp_path: Path) -> None:
    small = ("model.hidden_size=64", "hydra.sweeper.n_trials=2", "trainer.max_epochs=1")
    ran = succeed(SEARCH, *FIXED[:-1], *small, cwd=tmp_path)
    warning = ran.err.splitlines()[0]
    assert warning.startswith("warning: fixed on the command line and so not searched: model.n_layers, ")
    assert warning.endswith("searched are data.batch_size.")
    assert "\n  data.batch_size  " in ran.out
    assert "\n  model.n_layers " not in ran.out


@pytest.mark.slow
def test_the_help_fits_on_one_screen_and_explains_the_groups(tmp_path: Path) -> None:
    ran = succeed("--help", cwd=tmp_path)
    assert len(ran.out.splitlines()) <= 50
    for word in ("data", "model", "optimizer", "trainer", "callbacks", "logger", "hparams_search", "experiment"):
        assert word in ran.out
    assert "python train.py -m hparams_search=mlp" in ran.out


@pytest.mark.slow
def test_a_search_goes_on_when_the_reader_of_its_output_has_gone(tmp_path: Path) -> None:
    arguments = " ".join([*SMALL, "hydra.sweeper.n_trials=2", "confirm=off"])
    command = f"{sys.executable} {ROOT / 'train.py'} -m hparams_search=mlp {arguments} | true; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert (the_folder(tmp_path) / "best" / "metrics.json").is_file()
