"""`python -m lightsweep.reproduce`: a training is run again from its folder alone, and compared exactly."""

import csv
import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from lightsweep.files import yaml_of
from lightsweep.reproduce import main
from lightsweep.training.recorded import Recorded
from tests.command import TINY, rows_of, succeed, the_folder
from tests.refit import run

EPOCHS = 4
RUN = (*TINY, f"trainer.max_epochs={EPOCHS}", "model.schedule=cosine")
Command = Callable[..., str]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single") / "run"
    run(folder, *RUN)
    return folder


@pytest.fixture
def trained(original: Path, tmp_path: Path) -> Path:
    """A copy of the folder of a run, which a test may change."""
    return shutil.copytree(original, tmp_path / "run")


@pytest.fixture
def reproduce(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command, check its exit code, and return what it prints; for the code 2 its error."""

    def call(*arguments: str | Path, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["reproduce", *map(str, arguments)])
        capsys.readouterr()  # of a training before
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        assert ended.value.code == code, output
        return output.err.splitlines()[-1] if code == 2 else output.out.strip()

    return call


def test_each_fold_is_trained_again_up_to_the_first_that_differs(tmp_path: Path, reproduce: Command) -> None:
    folder = tmp_path / "folds"
    run(folder, *RUN, "data.resampling=kfold", "data.n_folds=3")
    assert [line.split(":")[:2] for line in reproduce(folder).splitlines() if line.startswith("fold")] == [
        [f"fold_{fold}", " identical"] for fold in range(3)
    ]
    path = folder / "fold_1" / "csv" / "metrics.csv"
    path.write_text(re.sub(r"0\.\d{6}", "0.123456", path.read_text()))
    lines = [line for line in reproduce(folder, code=1).splitlines() if line.startswith("fold")]
    assert [line.split(":")[1] for line in lines] == [" identical", " different"]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_run_is_identical_wherever_its_folder_was_copied_and_whatever_ran_before(
    trained: Path, original: Path, reproduce: Command
) -> None:
    before, files = HydraConfig.instance().cfg, sorted(original.rglob("*"))
    torch.rand(7)
    torch.set_num_threads(2)
    assert reproduce(trained) == f"identical: {EPOCHS} epochs, 6 metrics"
    assert HydraConfig.instance().cfg is before
    assert sorted(path.relative_to(trained) for path in trained.rglob("*")) == [f.relative_to(original) for f in files]


@pytest.mark.parametrize("n_epochs", [1, 3])
@pytest.mark.parametrize("state", ["pruned", "interrupted"])
def test_a_trial_that_ended_early_is_trained_for_its_epochs_of_the_whole_schedule(
    state: str, n_epochs: int, trained: Path, reproduce: Command, tmp_path: Path
) -> None:
    shorten(trained, n_epochs=n_epochs, **{state: "too low" if state == "pruned" else True})
    epochs = f"{n_epochs} epoch{'s' if n_epochs > 1 else ''}"
    assert reproduce(trained, "--output", tmp_path / "again") == f"identical: {epochs}, 6 metrics"
    again = Recorded.read(tmp_path / "again")
    assert (again.outcome.n_epochs, again.cfg.trainer.max_epochs) == (n_epochs, EPOCHS)
    assert reproduce(tmp_path / "again") == f"identical: {epochs}, 6 metrics"


def shorten(folder: Path, *, n_epochs: int, **outcome: Any) -> None:
    """Make the run one that ended after `n_epochs`."""
    table = folder / "csv" / "metrics.csv"
    rows = [row for row in rows_of(table) if int(row["epoch"]) < n_epochs]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    best, value = max(
        ((int(row["epoch"]), float(row["val/acc"])) for row in rows if row["val/acc"]), key=lambda x: x[1]
    )
    result = asdict(Recorded.read(folder).outcome)
    result |= {"n_epochs": n_epochs, "value": value, "best_epoch": best, **outcome}
    (folder / "result.yaml").write_text(yaml_of(result))


@pytest.mark.parametrize(
    ("changes", "causes"),
    [
        (["seed=43"], ["seed: recorded 42, now 43", "data: recorded 128 + 32 rows, checksum "]),
        (
            ["data.n_samples=210"],
            ["data.n_samples: recorded 200, now 210", "data: recorded 128 + 32 rows, checksum "],
        ),
        (["threads=2", "optimizer.lr=0.5"], ["threads: recorded 1, now 2", "optimizer.lr: recorded 0.001, now 0.5"]),
    ],
)
def test_the_first_difference_is_named_with_what_was_changed(
    changes: list[str], causes: list[str], trained: Path, reproduce: Command
) -> None:
    first, *others = reproduce(trained, *changes, code=1).splitlines()
    [name] = re.findall("^different: epoch 0, (.*): recorded", first)
    recorded = rows_of(trained / "csv" / "metrics.csv")[0][name]
    assert first.startswith(f"different: epoch 0, {name}: recorded {recorded}, now ")
    assert all(cause in "\n".join(others) for cause in causes)


@pytest.mark.parametrize(
    ("recorded", "line"),
    [
        ({"versions": {"torch": "1.0"}}, f"torch: recorded 1.0, now {torch.__version__}"),
        ({"device_name": "another\x1b[2J"}, "device: recorded another?[2J, now "),
        ({"data": "1 rows"}, "data: recorded 1 rows, now 128 + 32 rows, checksum "),
        ({"commit": "f" * 40, "changes": "1a"}, f"code: recorded commit {'f' * 10} with changes 1a, now "),
    ],
)
def test_what_else_differs_is_told_whether_the_metrics_differ_or_not(
    recorded: dict[str, Any], line: str, trained: Path, reproduce: Command
) -> None:
    edit(trained / "environment.json", **recorded)
    assert f"\n  although {line}" in reproduce(trained)
    table = trained / "csv" / "metrics.csv"
    table.write_text(table.read_text().replace("0.", "0.1", 1))
    told = reproduce(trained, code=1)
    assert told.startswith("different: epoch 0, ")
    assert f"\n  {line}" in told


def test_a_config_that_was_changed_in_the_folder_is_told(trained: Path, reproduce: Command) -> None:
    config = trained / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("seed: 42", "seed: 1"))
    told = reproduce(trained, code=1)
    assert "seed: recorded 42, now 1" in told
    assert ".hydra/config.yaml: the file was changed after the training" in told


def test_a_difference_without_a_cause_says_so(trained: Path, reproduce: Command) -> None:
    result = asdict(Recorded.read(trained).outcome)
    (trained / "result.yaml").write_text(yaml_of({**result, "value": 0.25}))
    first, cause = reproduce(trained, code=1).splitlines()
    assert first == f"different: best val/acc: recorded 0.25, now {result['value']}"
    assert "the training itself is not deterministic" in cause


def test_the_number_of_threads_is_that_of_the_run(original: Path, tmp_path: Path, reproduce: Command) -> None:
    run(tmp_path / "run", *RUN, "threads=2")
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["threads"] == 2
    edit(tmp_path / "run" / "environment.json", threads=3)  # such as torch's own choice, which no config names
    reproduce(tmp_path / "run", "--output", tmp_path / "again")
    assert json.loads((tmp_path / "again" / "environment.json").read_text())["threads"] == 3


def test_a_folder_of_an_earlier_version_has_no_environment(trained: Path, reproduce: Command) -> None:
    (trained / "environment.json").unlink()
    identical, note = reproduce(trained).splitlines()
    assert identical == f"identical: {EPOCHS} epochs, 6 metrics"
    assert note.startswith("Nothing was recorded about its environment")
    assert "Nothing was recorded about its environment" in reproduce(trained, "seed=1", code=1)


def test_without_a_log_of_metrics_the_result_is_compared(trained: Path, reproduce: Command) -> None:
    shutil.rmtree(trained / "csv")
    assert reproduce(trained).startswith("identical: the result; csv/metrics.csv holds no metrics")
    assert reproduce(trained, "seed=1", code=1).startswith("different: best ")


def test_a_refit_is_compared_with_the_metrics_of_its_test(tmp_path: Path, reproduce: Command) -> None:
    folder = tmp_path / "best"
    run(folder, *RUN, "refit=true")
    assert reproduce(folder) == f"identical: {EPOCHS} epochs, 6 metrics"
    metrics = json.loads((folder / "metrics.json").read_text())
    edit(folder / "metrics.json", **{"test/acc": 0.5})
    assert reproduce(folder, code=1).startswith(
        f"different: test of the model, test/acc: recorded 0.5, now {metrics['test/acc']}\n"
    )
    (folder / "result.yaml").write_text(yaml_of({"refit_failed": "it broke"}))
    assert "its refit failed (it broke), so the model is that of the best trial" in reproduce(folder, code=2)


def test_a_training_that_failed_must_fail_again(tmp_path: Path, reproduce: Command) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path / "run", *RUN, "optimizer.lr=1e38")
    assert Recorded.read(tmp_path / "run").outcome.kind == "diverged"
    assert reproduce(tmp_path / "run").startswith("identical: 1 epoch, ")
    result = asdict(Recorded.read(tmp_path / "run").outcome)
    (tmp_path / "run" / "result.yaml").write_text(yaml_of({**result, "failed": "it broke"}))
    told = reproduce(tmp_path / "run", code=1)
    assert told.startswith(f"different: failure: recorded it broke, now {result['failed']}\n")


def test_relative_paths_are_those_of_the_run_and_a_file_that_is_gone_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reproduce: Command
) -> None:
    here = tmp_path / "project"
    here.mkdir()
    monkeypatch.chdir(here)
    table = here / "rows.csv"
    table.write_text("x,y\n" + "".join(f"{i % 7},{'ab'[i % 2]}\n" for i in range(60)))
    settings = ("data=table", "data.path=rows.csv", "data.target=y", "trainer.max_epochs=1")
    run(here / "run", *settings)
    shutil.move(here / "run", tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert reproduce(tmp_path / "run") == "identical: 1 epoch, 6 metrics"
    assert Path.cwd() == tmp_path / "elsewhere"

    table.rename(tmp_path / "moved.csv")
    error = reproduce(tmp_path / "run", code=2)
    assert error.startswith("error: data.path: ")
    assert "rows.csv" in error
    assert reproduce(tmp_path / "run", f"data.path={tmp_path / 'moved.csv'}").startswith("identical: 1 epoch")


def test_what_the_config_of_a_folder_may_call_is_limited(trained: Path, tmp_path: Path, reproduce: Command) -> None:
    config = OmegaConf.load(trained / ".hydra" / "config.yaml")
    config.callbacks.evil = {"_target_": "os.mkdir", "path": str(tmp_path / "was run")}
    OmegaConf.save(config, trained / ".hydra" / "config.yaml")
    assert "callbacks.evil._target_ is 'os.mkdir', which is not on the allowlist" in reproduce(trained, code=2)
    assert not (tmp_path / "was run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["."], "holds no .hydra/config.yaml, so it is not the folder of a trial"),
        (["run", "--output", "."], "--output is ., which holds files; give a new folder"),
        (["run", "sede=1"], "sede=1: the recorded config has no such key"),
        (["run", "trainer.max_epochs=-3"], "trainer.max_epochs is -3; it must be"),
    ],
)
def test_what_can_not_be_trained_again_is_one_message(
    arguments: list[str], message: str, trained: Path, monkeypatch: pytest.MonkeyPatch, reproduce: Command
) -> None:
    monkeypatch.chdir(trained.parent)
    assert message in reproduce(*arguments, code=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "workers", [pytest.param((), marks=pytest.mark.long), ("workers=2",)], ids=["in process", "workers"]
)
def test_every_trial_of_a_search_is_identical(workers: tuple[str, ...], tmp_path: Path, reproduce: Command) -> None:
    search = ("hparams_search=mlp", "hydra.sweeper.n_trials=5", "threads=null", "trainer.max_epochs=3")
    pruner = ("hydra/sweeper/pruner=threshold", "hydra.sweeper.pruner.lower=0.6")  # not by what is finished: no chance
    succeed(*search, *pruner, *workers, cwd=tmp_path)
    folder = the_folder(tmp_path)
    n_epochs = {f: Recorded.read(f).n_epochs for f in (*(folder / str(i) for i in range(5)), folder / "best")}
    assert {*n_epochs.values()} & {1, 2}, "some are pruned"
    assert 3 in n_epochs.values()
    assert "is the folder of a search; give one of its trials" in reproduce(folder, code=2)
    for one, n in n_epochs.items():
        assert reproduce(one) == f"identical: {n} epoch{'s' if n != 1 else ''}, 6 metrics", one
