"""What is found before the first trial: bad searches, each with its sentence, and the real `preflight=true`."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from optuna.distributions import CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from lightsweep.config.fingerprint import Fingerprint
from lightsweep.errors import ConfigError, format_errors
from lightsweep.preflight.checks import check_search
from lightsweep.preflight.dry_run import DryRun
from lightsweep.preflight.estimate import Estimate, in_bytes, in_time
from lightsweep.preflight.space_table import space_table
from lightsweep.search.space import parse_request
from lightsweep.search.study import record_fingerprint
from lightsweep.sweeper.config import LightsweepConf
from lightsweep.sweeper.search import Search
from tests.command import FAULTY, ROOT, TRUST, Ran, start, train
from tests.conftest import CONF

Check = Callable[..., None]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Check]:
    """Checks the shipped search with these arguments, as `-m hparams_search=mlp` does, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(config_dir=str(CONF)):
        loader = GlobalHydra.instance().config_loader()

        def check_with(*arguments: str, params: dict[str, str] | None = None) -> None:
            overrides = ["hparams_search=mlp", *arguments]
            config = loader.load_configuration("train", overrides=overrides, run_mode=RunMode.MULTIRUN)
            settings = {str(key): value for key, value in config.hydra.sweeper.items() if key != "_target_"}
            settings["params"] = {**settings["params"], **(params or {})}
            context = HydraContext(config_loader=loader, callbacks=Callbacks())
            search = Search(settings, config=config, hydra_context=context, task_function=lambda _: None)
            request = search._request(list(config.hydra.overrides.task))
            url = search._url(Path(config.hydra.sweep.dir))
            check_search(
                search.settings,
                request,
                config_loader=search.hydra_context.config_loader,
                config=config,
                url=url,
                fingerprint=lambda: search._fingerprint(request),
            )

        yield check_with


def faults_of(check: Check, *arguments: str, **more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        check(*arguments, **more)
    assert list(Path.cwd().iterdir()) == [], "a check must write nothing"
    return str(caught.value)


ADD = "+model.extra"
BAD_SEARCHES = {
    "hydra.sweeper.n_trials=0": "hydra.sweeper.n_trials is 0; it must be a whole number of at least 1.",
    "hydra.sweeper.n_jobs=0": "hydra.sweeper.n_jobs is 0; it must be a whole number of at least 1.",
    "hydra.sweeper.n_jobs=2": "but Hydra's basic launcher runs jobs one by one",
    "hydra.sweeper.timeout=-1": "hydra.sweeper.timeout is -1.0; it must be a number above 0.",
    "hydra.sweeper.trial_timeout=0": "hydra.sweeper.trial_timeout is 0.0; it must be a number above 0.",
    "hydra.sweeper.keep_checkpoints=0": "hydra.sweeper.keep_checkpoints is 0; it must be",
    "hydra.sweeper.max_failure_rate=0.5": "Leave it at 0; how many failures in a row end the",
    "hydra.sweeper.custom_search_space=a.b": "hydra.sweeper.custom_search_space is 'a.b', which this sweeper does not",
    "hydra.sweeper.max_retries=-1": "hydra.sweeper.max_retries is -1; it must be",
    "hydra.sweeper.study_name=../up": "hydra.sweeper.study_name is '../up'; it also names a folder",
    "hydra.sweeper.direction=up": "hydra.sweeper.direction is 'up'; it must be maximize or minimize.",
    "hydra.sweeper.storage=missing/study.journal": "which can't be opened or written: there is no folder",
    "hydra.sweeper.storage=sqlite:///missing/study.db": "which can't be opened or written: there is no folder",
    f"hydra.sweeper.storage={ROOT}/src": "/src', which can't be opened or written: it is not a file",
    f"hydra.sweep.dir={ROOT}/train.py/x": "/x', which can't be created: ",
    "hydra.launcher._target_=os.system": "hydra.launcher._target_ is 'os.system', which is no launcher",
    "hydra.sweeper.pruner._target_=os.system": "whitelist",
    "hydra.sweeper.pruner.n_warmup_steps=-1": "hydra.sweeper.pruner",
    "hydra.sweeper.sampler._target_=optuna.pruners.NopPruner": "hydra.sweeper.sampler",
    "hydra/sweeper/sampler=grid": "model.dropout_rate, optimizer.lr are continuous",
    "monitor=val/surprise": "direction is not known: the name of monitor 'val/surprise' does not say",
    "direction=minimize": "direction is minimize, but monitor is 'val/acc', which must be maximized.",
    "hydra.sweeper.direction=minimize": "Set direction=maximize, or monitor another metric.",
    "seed=-1": "seed is -1; it must be a whole number from 0",
    "trainer.devices=2": "a trial that trains in several processes",
    "trainer.strategy=choice(auto,ddp)": "trainer.strategy is 'ddp'",
    "optimizer=choice(adam,adamm)": "Did you mean adam or adamw?",
    "model=choice(3,4)": "model=3: Config group override must be a string or a list.",
    "model.n_layer=choice(1,2)": "Did you mean model.n_layers",
    "+model.n_layers=choice(null,1)": "NoneType is incompatible",
    "+model.activation=choice(relu,gelu)": "An item is already at 'model.activation'",
    "model.activation.kind=choice(relu,gelu)": "model.activation",
    "model.n_layers=interval(1,3)": "model.n_layers is 1.0; it must be a whole number",
    "model.n_layers=choice('1','2')": "model.n_layers is '1'; it must be a whole number",
    "model.hidden_size=choice(64,true)": "model.hidden_size is",
    "model.hidden_size=choice(0,64)": "model.hidden_size is 0; it must be",
    "model.hidden_size=null,64": "model.hidden_size is null; it must be",
    "model.hidden_size=choice([64],[32])": "model.hidden_size is",
    "model.dropout_rate=interval(0.1,1.2)": "model.dropout_rate is 1.2; it must be",
    "optimizer.lr=choice('${nowhere}',0.1)": "Interpolation key 'nowhere' not found",
    "optimizer.lr=tag(log,interval(0,1))": "the search space of optimizer.lr",
    "model.n_layers=range(4,1)": "the search space of model.n_layers",
    "logger=choice(csv,wandbb)": "Could not find 'logger/wandbb'",
}


@pytest.mark.parametrize(("argument", "sentence"), BAD_SEARCHES.items())
def test_a_bad_search_is_refused_in_words_before_anything_is_written(
    argument: str, sentence: str, check: Check
) -> None:
    try:
        message = faults_of(check, argument)
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001  (Hydra's own error, from before the sweeper is asked)
        message = str(error)
    assert sentence in message


def test_the_shipped_search_has_no_fault(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    check()
    assert capsys.readouterr().err == ""
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    "choices",
    [
        "choice('true', 'false')",
        "choice('null', 'x')",
        "null, 1",
        "true, 'true', '1', 2",
        "choice('e=f', 'a,b', '', 'a b')",
        "choice('[x', '{y}', '(z)')",
        "choice([], [1, true, null, 'x,y', '1'])",
        "choice({a: 1}, {b: [1, '2']})",
        "choice(1, 2.5, '2.5')",
        "interval(1, 3)",
        "tag(log, int(interval(1, 64)))",
        "choice('${seed}', x)",
    ],
)
def test_values_that_are_hard_to_write_reach_a_trial_as_they_are_meant(choices: str, check: Check) -> None:
    check(f"{ADD}={choices}")


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ("choice('true', '7')", "+model.extra='true' reaches a trial as 1 (int) and not as 'true' (str)."),
        ("choice([1], [2])", "+model.extra=[1] reaches a trial as 1 (int) and not as [1] (list)."),
        ("choice({a: 1}, {b: 2})", "+model.extra={a:1} reaches a trial as 1 (int) and not as {'a': 1} (dict)."),
        ("interval(0, 1)", "+model.extra=0.0 reaches a trial as 1 (int) and not as 0.0 (float)."),
        ("choice(true, x)", "+model.extra=True reaches a trial as 1 (int) and not as True (bool)."),
    ],
)
def test_a_value_that_changes_on_its_way_into_a_trial_is_a_fault(choices: str, sentence: str, check: Check) -> None:
    message = faults_of(check, params={ADD: choices, f"+{ADD}": "choice(1)"})
    assert sentence in message


def test_all_faults_are_one_message_and_each_is_said_once(check: Check) -> None:
    message = faults_of(
        check,
        "hydra.sweeper.n_trials=0",
        "hydra.sweeper.storage=missing/x.journal",
        "hydra/sweeper/sampler=grid",
        "hydra.sweeper.pruner._target_=os.system",
        "monitor=val/surprise",
        "optimizer=choice(adam,adamm,sdg)",
        "model.n_layer=choice(1,2,3)",
        "optimizr.lr=choice(1,2,3)",
        "model.hidden_size=choice(0,64)",
    )
    lines = message.splitlines()
    assert lines[0] == "10 things are wrong"
    assert sum(line.startswith("- ") for line in lines) == 10
    for part in (
        "n_trials is 0",
        "missing/x.journal",
        "sampler=grid",
        "os.system",
        "monitor 'val/surprise'",
        "'optimizer/adamm'",
        "'optimizer/sdg'",
        "Did you mean model.n_layers",
        "Did you mean optimizer.lr or optimizer?",
        "model.hidden_size is 0",
    ):
        assert message.count(part) == 1, part


def test_one_fault_is_the_message_itself() -> None:
    assert format_errors(["a", "a"]) == "a"
    assert format_errors(["a\nb", "c"]) == "2 things are wrong\n- a\n  b\n- c"


@pytest.fixture
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with a study that maximizes over another space."""
    path = tmp_path_factory.mktemp("kept") / "kept.journal"
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(study_name="mlp", direction="maximize", storage=storage)
    fingerprint = Fingerprint(strict={"model.n_layers": "searched: choice(7, 8)"}, informational={})
    record_fingerprint(study, fingerprint, allow_changes=[])
    trial = study.ask({"model.n_layers": CategoricalDistribution((7, 8))})
    study.tell(trial, 0.5)
    return path


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["hydra.sweeper.preflight=true"], ["made with other settings", "searched: choice(7, 8)  searched: 1 to 3"]),
        (
            ["hydra.sweeper.preflight=true", "monitor=val/loss"],
            ["hydra.sweeper.direction is minimize, but the study 'mlp' was made to maximize"],
        ),
        (["seed=-1"], ["seed is -1", "made with other settings"]),
    ],
)
def test_a_study_that_is_there_is_judged_and_not_touched(
    arguments: list[str], parts: list[str], check: Check, kept: Path
) -> None:
    before = kept.read_bytes()
    message = faults_of(check, f"hydra.sweeper.storage={kept}", *arguments)
    for part in parts:
        assert part in message
    assert kept.read_bytes() == before


def test_a_preflight_creates_no_database(check: Check, tmp_path: Path) -> None:
    check("hydra.sweeper.storage=sqlite:///study.db", "hydra.sweeper.preflight=true")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_journal_is_refused(check: Check, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("other") / "notes.txt"
    path.write_text("not a journal")
    message = faults_of(check, f"hydra.sweeper.storage={path}", "hydra.sweeper.preflight=true")
    assert "it is not a journal" in message
    assert path.read_text() == "not a journal"


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["trainer.max_epochs=1"], "n_warmup_steps is 0"),
        (["trainer.max_epochs=2"], None),
        (["hydra.sweeper.pruner.n_warmup_steps=4"], "n_warmup_steps is 4"),
        (["hydra.sweeper.pruner.n_warmup_steps=3"], None),
        (["hydra/sweeper/pruner=patient", "trainer.max_epochs=1"], "wrapped_pruner.n_warmup_steps is 0"),
        (["hydra/sweeper/pruner=successive_halving", "hydra.sweeper.pruner.min_resource=4"], "min_resource is 4"),
        (["hydra/sweeper/pruner=hyperband"], None),
        (["hydra/sweeper/pruner=none", "trainer.max_epochs=1"], None),
    ],
)
def test_a_pruner_that_can_never_prune_is_a_warning(
    arguments: list[str], key: str | None, check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    check(*arguments)
    said = capsys.readouterr().err
    if key is None:
        assert said == ""
    else:
        assert said.startswith(f"warning: no trial can be pruned: hydra.sweeper.pruner.{key}, ")
        assert ("Lower" in said) is not key.endswith(" 0")


def test_a_grid_with_fewer_points_than_trials_is_a_note(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    check("hydra/sweeper/sampler=grid", "model.dropout_rate=choice(0.1,0.2)", "optimizer.lr=1e-3")
    assert "note: " not in capsys.readouterr().err  # 216 points, 50 trials
    fixed = ("model.dropout_rate=0.1", "optimizer.lr=1e-3", "model.n_layers=1", "optimizer=sgd")
    check("hydra/sweeper/sampler=grid", *fixed)
    told = capsys.readouterr().err
    assert "note: the grid has 12 points, so the search ends after 12 of hydra.sweeper.n_trials=50 trials." in told


@pytest.mark.parametrize(
    ("arguments", "n_compositions"),
    [
        ([], 3),  # adam, rmsprop, sgd
        (["optimizer=adam"], 1),
        (["optimizer=adam", f"model.hidden_size=choice({','.join(map(str, range(1, 31)))})"], 1),
        (["optimizer=choice(adam,sgd)", "data=choice(digits,synthetic)"], 2),
    ],
)
def test_hydra_composes_once_per_choice_of_groups_and_not_per_value(
    arguments: list[str], n_compositions: int, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each composition costs Hydra a tenth of a second or more."""
    composed = []
    compose = ConfigLoaderImpl.load_sweep_config
    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", lambda *given: composed.append(given) or compose(*given))
    check(*arguments)
    assert len(composed) == n_compositions


TABLE = """\
Search space (12 points)
  parameter    kind    values                             type
  n            int     1 to 3                             int
  group        choice  a, b                               config group
  other        choice  'true', 1                          str or int
"""


def test_the_table_has_a_line_per_parameter_with_the_type_that_a_trial_gets() -> None:
    space = parse_request({"n": "int(interval(1, 3))", "group": "choice(a, b)", "other": "choice('true', 1)"}, []).space
    there = space_table(space, groups=["group"])
    assert [line.split() for line in there.splitlines()] == [line.split() for line in TABLE.splitlines()]


def test_the_table_says_where_a_parameter_applies() -> None:
    space = parse_request({"x": "1,2", "y": "range(3)"}, [], when={"y": "x=2"}).space
    head, *rows = space_table(space, groups=[]).splitlines()
    assert head == "Search space (some parameters apply only where others have certain values)"
    assert [row.split()[-1] for row in rows] == ["where", "int", "x=2"]


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("tag(log, interval(1e-5, 1e-2))", "float 1e-05 to 0.01, log (3 decades) float"),
        ("range(64, 257, 64)", "int 64 to 256, step 64 int"),
        ("range(0.1, 0.5, 0.1)", "float 0.1 to 0.4, step 0.1 float"),
        ("choice('', null_)", "choice '', null_ str"),
        ("null, [1], {a: 1}", "choice null, [1], {a:1} null or list or mapping"),
    ],
)
def test_a_row_of_the_table(text: str, row: str) -> None:
    last = space_table(parse_request({"x": text}, []).space, groups=[]).splitlines()[-1]
    assert " ".join(last.split()) == f"x {row}"


def dry_runs(size: str, *, s_per_batch: float, n_batches: int | None, pid: int = 1) -> DryRun:
    measured = {
        "n_val_batches": 1,
        "s_per_val_batch": 0.0,
        "s_per_checkpoint": 0.0,
        "s_in_batches": 1.0,
        "s_since_set_up": 1.5,
        "checkpoint_bytes": 1000,
        "last_checkpoint_bytes": 3000,
        "s_per_batch": s_per_batch,
        "n_batches": n_batches,
        "pid": pid,
    }
    return DryRun(size, {}, 3.0, None, measured, 4096)


def estimate(*models: DryRun, check_with: LightsweepConf, launcher: str = "basic") -> Estimate:
    return Estimate.of(models, check_with, launcher=launcher, n_trials=50, max_epochs=10)


@pytest.fixture
def settings(composed: Callable[..., DictConfig]) -> LightsweepConf:
    sweeper = composed("hparams_search=mlp").hydra.sweeper
    return LightsweepConf(**{str(key): value for key, value in sweeper.items() if key != "_target_"})


def test_a_trial_is_estimated_from_the_best_to_the_worst_mix_of_both_models(settings: LightsweepConf) -> None:
    small = dry_runs("smallest", s_per_batch=0.1, n_batches=40)
    large = dry_runs("largest", s_per_batch=1.0, n_batches=10)
    low, high = estimate(small, large, check_with=settings).seconds_per_trial or (0.0, 0.0)
    assert low == pytest.approx(2 + 10 * (10 * 0.1 + 0.005))
    assert high == pytest.approx(2 + 10 * (40 * 1.0 + 0.005))


def test_workers_that_are_used_again_import_once_and_are_not_charged_for_it_per_trial(settings: LightsweepConf) -> None:
    models = [dry_runs(size, s_per_batch=0.0, n_batches=1, pid=pid) for pid, size in enumerate(("smallest", "largest"))]
    cold = estimate(*models, check_with=settings, launcher="submitit").seconds_per_trial
    warm = estimate(*models, check_with=settings, launcher="JoblibLauncher: joblib").seconds_per_trial
    assert cold is not None
    assert warm is not None
    assert cold[0] - warm[0] == pytest.approx(2.0 - 0.8)


def test_data_without_a_length_leave_the_time_open_and_not_the_disk(settings: LightsweepConf) -> None:
    there = estimate(dry_runs("only", s_per_batch=1, n_batches=None), check_with=settings)
    assert there.seconds_per_trial is None
    assert there.search_seconds() is None
    assert there.remarks(settings) == []
    assert "unknown" in there.lines(Path("/"))["a trial"]
    assert there.disk_bytes() == 6 * 1000 + 3000 + 50 * (4096 + 20_000)


def test_a_search_that_would_fill_the_disk_is_refused(settings: LightsweepConf, tmp_path: Path) -> None:
    model = dry_runs("only", s_per_batch=1, n_batches=1)
    estimate(model, check_with=settings).check_disk(tmp_path / "new")
    model.measured["checkpoint_bytes"] = 10**18  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"hydra.sweep.dir is .*need about 6000000 TB.*keep_checkpoints=5"):
        estimate(model, check_with=settings).check_disk(tmp_path / "new")


SECONDS = {0.083: "0.083 s", 1.55: "1.6 s", 44.4: "44 s", 240: "4 min", 12_000: "3 h 20 min", 187_200: "2 d 4 h"}
SIZES = {12: "12 B", 1200: "1.2 kB", 65_000: "65 kB", 3.4e9: "3.4 GB"}


def test_a_duration_or_a_size_is_shown_with_about_two_digits_in_its_unit() -> None:
    assert {seconds: in_time(seconds) for seconds in (*SECONDS, 3600)} == {**SECONDS, 3600: "1 h"}
    assert {n: in_bytes(n) for n in SIZES} == SIZES


def preflight(*arguments: str, cwd: Path) -> Ran:
    ran = train("-m", "hparams_search=mlp", "preflight=true", *arguments, cwd=cwd, **TRUST)
    assert list(cwd.iterdir()) == [], "a preflight must leave nothing behind"
    assert "Traceback" not in ran.out + ran.err
    return ran


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2"]])
def test_a_good_search_passes_with_its_table_and_its_estimate(launcher: list[str], tmp_path: Path) -> None:
    ran = preflight(*launcher, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.err == ""
    for part in ("Search space (", "\n  model.n_layers ", "\n  smallest ", "\n  largest ", "4,810", "150,794"):
        assert part in ran.out
    for label in ("a trial ", "the search ", "disk ", "free "):
        assert f"\n  {label}" in ran.out
    last = ran.out.splitlines()[-1]
    assert last.startswith("Preflight passed, and left nothing behind. Start the search: python ")
    assert last.endswith(" ".join(["-m hparams_search=mlp", *launcher]))


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
def test_a_model_that_fails_at_either_end_is_named(arguments: list[str], message: str, tmp_path: Path) -> None:
    ran = preflight(*arguments, cwd=tmp_path)
    assert ran.code == 1
    assert ran.err.startswith(message)
    assert "Preflight passed" not in ran.out


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2"]])
def test_a_preflight_that_is_stopped_leaves_nothing_behind(
    signum: signal.Signals, launcher: list[str], tmp_path: Path
) -> None:
    slow = ("data=synthetic", "data.n_samples=20000", "model.hidden_size=4096,8192")
    process = start("-m", "hparams_search=mlp", "preflight=true", *slow, *launcher, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".preflight-*/smallest")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) != [], "the rehearsal must have begun"
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    assert err == f"The preflight was stopped by {signum.name}.\n"
    assert list(tmp_path.iterdir()) == []
