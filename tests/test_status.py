"""`python -m lightsweep.status`: who runs what, for searches and for studies that other tools wrote."""

import json
import os
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from lightsweep.files import yaml_of
from lightsweep.opened.study_status import process_is
from lightsweep.report.results import RESULTS
from lightsweep.search.study import FINGERPRINT, N_TRIALS
from lightsweep.status import main
from lightsweep.storage.password import VARIABLE
from lightsweep.trial.heartbeat import Heartbeat, key_of
from lightsweep.trial.identity import OWNER, Owner, ProcessIdentity
from lightsweep.trial.status import FEASIBILITY
from tests.conftest import Command

optuna.logging.set_verbosity(optuna.logging.ERROR)

HERE = ProcessIdentity.here()
GONE = ProcessIdentity(HERE.host, HERE.pid, HERE.started - 100)  # its id was given to this process
ELSEWHERE = ProcessIdentity("elsewhere", 7, 1000.0)


@pytest.fixture
def status(command: Any) -> Command:
    """Run the command and return its output, or with `error=True` its error."""
    run: Command = command("status", main)
    return run


def new_study(path: Path, name: str = "mlp", **options: Any) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.create_study(study_name=name, storage=storage, **options)


def run_one(study: optuna.Study, *, by: ProcessIdentity | None, reports: tuple[float, ...] = ()) -> optuna.Trial:
    """Begin a trial as a worker does."""
    trial = study.ask()
    if by is not None:
        trial.set_user_attr(OWNER, by.to_record())
    for epoch, value in enumerate(reports):
        trial.report(value, epoch)
    return trial


@pytest.fixture
def search(tmp_path: Path) -> Path:
    """The folder of a search of 20 trials: 3 run, 1 waits, and 4 are finished, one of each kind."""
    study = new_study(tmp_path / "study.journal", direction="maximize")
    settings = {"monitor": "val/acc", "trainer.max_epochs": "10", "optimizer.lr": "searched: float"}
    study.set_user_attr(FINGERPRINT, {"measured": settings, "noted": {}})
    study.set_user_attr(N_TRIALS, 20)
    lr = {"optimizer.lr": FloatDistribution(0.0, 1.0, step=0.1)}

    def finished(state: TrialState, *, value: float | None = None, **more: Any) -> None:
        params = {"optimizer.lr": 0.1 + 0.2}
        study.add_trial(create_trial(state=state, value=value, params=params, distributions=lr, **more))

    finished(TrialState.COMPLETE, value=0.9, user_attrs={"best_epoch": 4})
    finished(TrialState.PRUNED)
    finished(TrialState.PRUNED, constraints={FEASIBILITY: 1})
    finished(TrialState.FAIL)
    for by, reports in ((HERE, (0.1, 0.25)), (GONE, ()), (ELSEWHERE, (0.5,))):
        run_one(study, by=by, reports=reports)
    study.enqueue_trial({"optimizer.lr": 0.5})
    return tmp_path


def test_a_running_search_is_shown_with_its_trials_and_the_best(search: Path, status: Command) -> None:
    before = {path.name: path.read_bytes() for path in search.iterdir()}
    text = status(search)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "mlp in study.journal"
    assert lines[1:4] == [
        "Finished 4 of 20 (1 complete, 1 pruned, 1 infeasible, 1 failed)",
        "Running 3",
        "Waiting 1",
    ]
    assert "Best val/acc 0.9 (trial 0, epoch 4)" in lines
    assert "optimizer.lr 0.3" in lines
    assert "trial host process device epochs since time val/acc process is" in lines
    running = [line for line in lines if " of 10 " in line]
    assert [line.split(" of ")[0] for line in running] == [
        f"4 {HERE.host} {os.getpid()} - 2",
        f"5 {HERE.host} {os.getpid()} - 0",
        "6 elsewhere 7 - 1",
    ]
    assert [line.split()[-2:] for line in running] == [["0.25", "alive"], ["-", "gone"], ["0.5", "unknown"]]
    assert {path.name: path.read_bytes() for path in search.iterdir()} == before


def test_a_script_gets_the_same_as_json(search: Path, status: Command) -> None:
    record = json.loads(status(search / "study.journal", "--json"))
    assert record["n_trials"] == 20
    assert record["counts"]["running"] == 3
    assert record["best"] == {"number": 0, "value": 0.9, "epoch": 4, "params": {"optimizer.lr": 0.3}}
    first = record["running"][0]
    assert (first["host"], first["pid"], first["step"], first["max_epochs"]) == (HERE.host, os.getpid(), 1, 10)
    assert first["value"] == 0.25


def test_the_device_and_the_epochs_of_a_trial_are_its_own(tmp_path: Path, status: Command) -> None:
    study = new_study(tmp_path / "study.journal")
    study.set_user_attr(FINGERPRINT, {"measured": {"trainer.max_epochs": "searched: int"}, "noted": {}})
    trial = study.ask({"trainer.max_epochs": IntDistribution(3, 3)})
    trial.set_user_attr("device", "cuda:1")
    trial.report(float("nan"), 0)
    assert "cuda:1  1 of 3" in status(tmp_path)
    assert json.loads(status(tmp_path, "--json"))["running"][0]["value"] is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "Best value 0.5 (trial 0)"),
        ({"directions": ["minimize", "maximize"]}, "  trial  value   value 2\n  0      0.5000  0.5000"),
    ],
)
def test_a_study_of_another_tool_is_shown(options: Any, text: str, tmp_path: Path, status: Command) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    storage = RDBStorage(url)
    study = optuna.create_study(storage=storage, study_name="theirs", **options)
    study.tell(study.ask(), [0.5] * len(study.directions))
    run_one(study, by=None, reports=() if options else (0.0, 1.0))
    storage.engine.dispose()
    output = status(url)
    assert text in output
    assert "Finished  1 (1 complete)" in output
    assert output.split()[-1] == "unknown"
    assert ("step 1" in output) == (not options)


def test_the_runs_that_confirm_the_best_trials_are_shown_below_their_search(
    search: Path, tmp_path: Path, status: Command
) -> None:
    new_study(search / "study.journal", "mlp-confirm").ask().set_user_attr(OWNER, Owner(HERE, HERE).to_record())
    text = status(search / "study.journal")  # the second study is no search of its own
    assert text.index("Finished") < text.index("Confirming the best trials (mlp-confirm)")
    assert text.split("Confirming")[1].count("Best") == 0
    assert str(HERE.pid) in text.split("Confirming")[1]
    record = json.loads(status(search, "--json"))
    assert (record["study"], record["confirmation"]["counts"]["running"]) == ("mlp", 1)


def test_several_studies_are_listed_and_one_is_chosen(tmp_path: Path, status: Command) -> None:
    journal = tmp_path / "both.journal"
    run_one(new_study(journal, "first"), by=HERE)
    new_study(journal, "second")
    listed = status(journal)
    assert "holds 2 studies; choose one with --study" in listed
    assert [line.split()[:2] for line in listed.splitlines()[2:]] == [["first", "1"], ["second", "0"]]
    assert [study["trials"] for study in json.loads(status(journal, "--json"))] == [1, 0]
    assert "Running   1" in status(journal, "--study", "first")
    assert "has no study 'third'; its studies are first, second" in status(journal, "--study", "third", error=True)


def test_a_folder_names_its_storage_whose_password_is_in_the_environment(
    tmp_path: Path, status: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.db"
    url, masked = f"sqlite:///{path}?password=secret", f"sqlite:///{path}?password=***"
    (tmp_path / RESULTS).write_text(yaml_of({"storage": masked, "study_name": "mlp", "best_trial": 1}))
    for other in (None, url.replace("study.db", "other.db")):
        monkeypatch.delenv(VARIABLE, raising=False) if other is None else monkeypatch.setenv(VARIABLE, other)
        error = status(tmp_path, error=True)
        assert masked in error
        assert f"export {VARIABLE}" in error
    monkeypatch.setenv(VARIABLE, url)
    error = status(tmp_path, error=True)
    assert error == f"error: '{masked}' can't be read: there is no file {path}.\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "neither a folder, nor a journal, nor the URL"),
        ("", "holds no study.journal and no optimization_re"),
    ],
)
def test_what_is_no_search_is_one_error(name: str, message: str, tmp_path: Path, status: Command) -> None:
    assert message in status(tmp_path / name, error=True)


@pytest.mark.parametrize(
    ("age", "record", "text"),
    [
        (None, None, "unknown"),
        (None, {"beat": 3}, "unknown"),  # of an earlier version
        (0, {"ended": True}, "gone"),
        (0, {}, "seen 0.0 s ago"),
        (300, {}, "seen 5 min 00 s ago"),
        (-300, {}, "seen 0.0 s ago"),  # its clock is ahead
    ],
)
@pytest.mark.parametrize("is_worker", [True, False])
def test_a_process_on_another_host_is_known_by_the_heartbeat_of_its_driver(
    age: int | None, record: Any, text: str, is_worker: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e9)
    owner = Owner(ProcessIdentity("a-third", 8, 2.0) if is_worker else ELSEWHERE, ELSEWHERE)
    trial = create_trial(state=TrialState.RUNNING, user_attrs={OWNER: owner.to_record()})
    times = {} if age is None else {"time": 1e9 - age}
    assert process_is(trial, {} if record is None else {key_of(ELSEWHERE): {**record, **times}}) == text


def test_a_search_writes_the_heartbeat_that_the_status_reads(tmp_path: Path) -> None:
    study = new_study(tmp_path / "study.journal")
    heartbeat = Heartbeat(study, interval=30)
    heartbeat.driver = ELSEWHERE
    owner = Owner(ELSEWHERE, ELSEWHERE)
    trial = create_trial(state=TrialState.RUNNING, user_attrs={OWNER: owner.to_record()})
    with heartbeat.beating():
        assert process_is(trial, study.user_attrs).startswith("seen ")
    assert process_is(trial, study.user_attrs) == "gone"
