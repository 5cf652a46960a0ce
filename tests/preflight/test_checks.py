"""The checks before every search: invalid searches, each with its message."""

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
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution

from lightsweep.config.fingerprint import Fingerprint
from lightsweep.errors import ConfigError, format_errors
from lightsweep.preflight.checks import check_search
from lightsweep.preflight.config_checks import steps_of_pruner
from lightsweep.search.study import record_fingerprint
from lightsweep.storage.storage import open_storage
from lightsweep.sweeper.search import Search
from tests.command import ROOT
from tests.conftest import CONF, Compose
from tests.search.spaces import ROUND_TRIPS

Check = Callable[..., None]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Check]:
    """Check the shipped search with these arguments, as `-m hparams_search=mlp` does, in an empty folder."""
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
            request = search._request(OmegaConf.to_container(config.hydra.overrides.task, resolve=False))
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


def message_of(check: Check, *arguments: str, **more: Any) -> str:
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
    "hydra.sweeper.max_failure_rate=0.5": "Leave it at 0, and set hydra.sweeper.max_consec",
    "hydra.sweeper.custom_search_space=a.b": "hydra.sweeper.custom_search_space is 'a.b', which this sweeper does not",
    "hydra.sweeper.max_retries=-1": "hydra.sweeper.max_retries is -1; it must be",
    "hydra.sweeper.study_name=../up": "hydra.sweeper.study_name is '../up'; it also names a folder",
    "hydra.sweeper.direction=up": "hydra.sweeper.direction is 'up'; it must be maximize or minimize.",
    "hydra.sweeper.storage=missing/study.journal": "which can't be opened or written: there is no folder",
    "hydra.sweeper.storage=sqlite:///missing/study.db": "which can't be opened or written: there is no folder",
    "hydra.sweeper.storage='sqlite:///:memory:'": "a database in memory: the study would be lost",
    "hydra.sweeper.storage='sqlite:///'": "a database in memory: the study would be lost",
    "hydra.sweeper.storage='postgresql://me:p@ss:w/x@host/db'": "'postgresql://me:***@host/db', which can't be read as",
    f"hydra.sweeper.storage={ROOT}/src": "/src', which can't be opened or written: it is not a file",
    f"hydra.sweep.dir={ROOT}/train.py/x": "/x', which can't be created: ",
    "hydra.launcher._target_=os.system": "hydra.launcher._target_ is 'os.system', which is not a launcher plugin",
    "hydra.sweeper.pruner._target_=os.system": "whitelist",
    "hydra.sweeper.pruner.n_warmup_steps=-1": "hydra.sweeper.pruner",
    "hydra.sweeper.sampler._target_=optuna.pruners.NopPruner": "hydra.sweeper.sampler",
    "hydra/sweeper/sampler=grid": "model.dropout_rate, optimizer.lr are continuous",
    "monitor=val/surprise": "direction is not known: the name of monitor 'val/surprise' does not say",
    "direction=minimize": "direction is minimize, but monitor is 'val/acc', which must be maximized.",
    "monitor=[val/acc,model/n_params]": "Optuna can't prune such trials: one that is behind in one objective may be",
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
    "model.hidden_size=choice('64','128')": "whole number of at least 1. It is a text: leave out its quotes.",
    "optimizer=glob(x*)": "the search space of optimizer is 'optimizer=glob(x*)': no option of a config group fits it.",
    "model.hidden_size=glob(*)": "List the choices, such as optimizer=choice(adam,sgd).",
    "data.fold=5": "data.fold is 5, but data.n_folds is 5.",
    "data.resampling=shuffle": "data.resampling is 'shuffle'; it must be holdout, reshuffle or kfold.",
    "monitor=[]": "monitor is []; it must be the name of a metric, such as val/acc, or a list of them.",
    "hydra/sweeper/pruner=wilcoxon": "data.resampling is holdout, whose steps are epochs. Set data.resampling=kfold",
    "logger=choice(csv,wandbb)": "Could not find 'logger/wandbb'",
}


def test_several_objectives_need_a_search_without_pruning_and_a_sampler_that_knows_them(check: Check) -> None:
    several = ["monitor=[val/acc,model/n_params]", "hydra/sweeper/pruner=none"]
    check(*several)
    assert "CmaEsSampler, which optimizes one objective" in message_of(check, *several, "hydra/sweeper/sampler=cmaes")
    assert "but monitor is [val/acc,model/n_params]. Give one" in message_of(
        check, *several, "hydra.sweeper.direction=maximize"
    )


@pytest.mark.parametrize(("argument", "sentence"), BAD_SEARCHES.items())
def test_an_invalid_search_is_rejected_before_anything_is_written(argument: str, sentence: str, check: Check) -> None:
    try:
        message = message_of(check, argument)
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001  (Hydra's own error, raised before the sweeper runs)
        message = str(error)
    assert sentence in message


def test_the_pruner_of_folds_is_accepted_with_folds(composed: Compose) -> None:
    overrides = ("hparams_search=mlp", "hydra/sweeper/pruner=wilcoxon")
    [problem] = steps_of_pruner(composed(*overrides))
    assert problem.startswith("hydra.sweeper.pruner is a WilcoxonPruner")
    assert steps_of_pruner(composed(*overrides, "data.resampling=kfold")) == []
    assert steps_of_pruner(composed("hparams_search=mlp")) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hydra.launcher.gpus=all"], "hydra.launcher.gpus is all; it must be auto, or a list"),
        (["hydra.launcher.gpus=[0,5]"], "hydra.launcher.gpus is [0, 5], but CUDA_VISIBLE_DEVICES is 0,1, without 5"),
        (["hydra.launcher.workers_per_gpu=2"], "but no GPUs are given: add gpus=auto"),
        (["hydra.launcher.gpus=auto", "hydra.sweeper.n_jobs=3"], "there are 3 workers, but gpus=[0,1]"),
        (["hydra.launcher.gpus=auto", "hydra.launcher.workers_per_gpu=2", "hydra.sweeper.n_jobs=5"], "hold 4"),
    ],
)
def test_workers_that_the_gpus_do_not_hold_are_rejected_with_all_other_problems(
    arguments: list[str], sentence: str, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    message = message_of(check, "hydra/launcher=processes", *arguments, "hydra.sweeper.n_trials=0")
    assert sentence in message
    assert "hydra.sweeper.n_trials is 0" in message


@pytest.mark.parametrize("arguments", [["hydra.launcher.gpus=auto"], ["hydra.launcher.gpus=[1]"], []])
def test_null_jobs_are_as_many_as_there_is_room_for(
    arguments: list[str], check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    check("hydra/launcher=processes", "hydra.sweeper.n_jobs=null", *arguments)


ANY = ["direction=maximize", "hydra.sweeper.direction=maximize"]
TABLE = ["data=table", "data.path=x.csv", "data.target=y"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["seed=1,2"], "the search varies seed: 1, 2. The best trial would be that with the luckiest seed."),
        (["seed=range(1,3)"], "the search varies seed: 1, 2."),
        (["++seed=choice(1,2)"], "the search varies seed: 1, 2."),
        (
            ["data.seed=choice(1,2)"],
            "the search varies data.seed: 1, 2. The best trial would be that with the luckiest",
        ),
        (["monitor=choice(val/acc,val/loss)"], "the search varies monitor: val/acc, val/loss. Values of different"),
        (
            ["monitor=val/${model.activation}", *ANY, "model.activation=choice(relu,gelu)"],
            "the search varies monitor: ",
        ),
        (["refit=choice(true,false)"], "the search varies refit: True, False. A search refits its best trial itself."),
        (["export=choice([],[torch])"], "the search varies export: [], ['torch']. It applies to the best trial"),
        (["data=choice(digits,synthetic)"], "the search varies data: digits, synthetic. The best trial would be that"),
        (["data=synthetic", "data.n_classes=choice(2,10)"], "the search varies data.n_classes: 2, 10. "),
        ([*TABLE, "data.path=choice(a.csv,b.csv)"], "the search varies data.path: a.csv, b.csv. "),
        ([*TABLE, "data.target=choice(a,b)"], "the search varies data.target: a, b. The best trial would be that"),
        ([*TABLE, "data.task=null,regression"], "the search varies data.task: null, regression. "),
        ([*TABLE, "data.split=choice(random,stratified)"], "the search varies data.split: random, stratified. "),
        ([*TABLE, "data.val_fraction=interval(0.1,0.5)"], "the search varies data.val_fraction: 0.1, 0.5. "),
        ([*TABLE, "data.rare_classes=choice(drop,other)"], "the search varies data.rare_classes: drop, other. "),
        (["data.val_seed=choice(1,2)"], "the search varies data.val_seed: 1, 2. "),
        (["data.fold=choice(0,1)"], "the search varies data.fold: 0, 1. "),
        (["data.resampling=choice(holdout,reshuffle)"], "the search varies data.resampling: holdout, reshuffle. "),
        (["+trainer.limit_val_batches=choice(1,2)"], "the search varies trainer.limit_val_batches: 1, 2. "),
    ],
)
def test_what_makes_values_of_trials_comparable_is_not_searched(
    arguments: list[str], sentence: str, check: Check
) -> None:
    message = message_of(check, *arguments)
    assert sentence in message
    assert message.count("the search varies") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            [*TABLE, "data.split=time", "data.split_by=t"],
            "with data.split=time there is no other split. Set ",
        ),
        ([*TABLE, "data.val_path=b.csv"], "but data.val_path gives the validation rows, so there is no other split."),
        (["data.val_seed=3"], "data.val_seed is 3, but data.resampling=reshuffle gives each trial a seed of its own."),
    ],
)
def test_data_that_have_one_split_are_not_reshuffled(arguments: list[str], sentence: str, check: Check) -> None:
    message = message_of(check, "data.resampling=reshuffle", *arguments)
    assert sentence in message
    assert "\n" not in message


def test_data_that_can_be_split_again_are_reshuffled(check: Check) -> None:
    check("data.resampling=reshuffle", *TABLE)


def test_direction_is_not_searched(check: Check) -> None:
    message = message_of(check, "monitor=val/any", *ANY, "direction=choice(maximize,minimize)")
    assert "the search varies direction: maximize, minimize." in message


@pytest.mark.parametrize(
    "arguments",
    [
        ["data.batch_size=choice(16,32)"],
        [*TABLE, "data.scale=choice(standard,quantile)", "data.class_weights=null,balanced"],
        [*TABLE, "data.one_hot_up_to=choice(4,12)", "data.target_scale=choice(standard,robust)"],
        ["data._target_=mine.Data", "+data.split=choice(a,b)"],  # the user's own class, with other meanings
        ["seed=choice(1)"],
    ],
)
def test_hyperparameters_of_the_data_are_searched(arguments: list[str], check: Check) -> None:
    check(*arguments)


def test_the_shipped_search_is_valid(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    check()
    assert capsys.readouterr().err == ""
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("choices", [*ROUND_TRIPS, "interval(1, 3)", "tag(log, int(interval(1, 64)))"])
def test_choices_that_reach_a_trial_unchanged_are_valid(choices: str, check: Check) -> None:
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
def test_a_value_that_reaches_a_trial_with_another_type_is_rejected(choices: str, sentence: str, check: Check) -> None:
    message = message_of(check, params={ADD: choices, f"+{ADD}": "choice(1)"})
    assert sentence in message


@pytest.mark.parametrize(
    ("glob", "n_points"),
    [("glob(*)", 4), ("glob(adam*)", 2), ("glob([s*,r*])", 2), ("glob(*,exclude=rm*)", 3), ("glob(sgd)", 1)],
)
def test_a_glob_chooses_from_the_options_of_a_config_group(
    glob: str, n_points: int, check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = ("model.dropout_rate=0.1", "optimizer.lr=1e-3", "model.n_layers=1", "model.hidden_size=64")
    check("hydra/sweeper/sampler=grid", *fixed, "data.batch_size=64", f"optimizer={glob}")
    assert f"note: the grid has {n_points} points" in capsys.readouterr().err


def test_all_problems_are_reported_together_and_once(check: Check) -> None:
    message = message_of(
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


def test_a_single_problem_is_the_message_itself() -> None:
    assert format_errors(["a", "a"]) == "a"
    assert format_errors(["a\nb", "c"]) == "2 things are wrong\n- a\n  b\n- c"


@pytest.fixture
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with a study that maximizes in another search space."""
    path = tmp_path_factory.mktemp("journal") / "study.journal"
    study = optuna.create_study(study_name="mlp", direction="maximize", storage=open_storage(str(path)))
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
def test_an_existing_study_is_checked_and_not_changed(
    arguments: list[str], parts: list[str], check: Check, journal: Path
) -> None:
    before = journal.read_bytes()
    message = message_of(check, f"hydra.sweeper.storage={journal}", *arguments)
    for part in parts:
        assert part in message
    assert journal.read_bytes() == before


def test_a_preflight_creates_no_database(check: Check, tmp_path: Path) -> None:
    check("hydra.sweeper.storage=sqlite:///study.db", "hydra.sweeper.preflight=true")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_a_journal_is_rejected(check: Check, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("other") / "notes.txt"
    path.write_text("not a journal")
    message = message_of(check, f"hydra.sweeper.storage={path}", "hydra.sweeper.preflight=true")
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
        (["data.resampling=kfold", "data.n_folds=2", "hydra.sweeper.pruner.n_warmup_steps=1"], "n_warmup_steps is 1"),
        (["data.resampling=kfold", "data.n_folds=4", "hydra/sweeper/pruner=wilcoxon"], None),
    ],
)
def test_a_pruner_that_can_never_prune_is_a_warning(
    arguments: list[str], key: str | None, check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    check(*arguments)
    warning = capsys.readouterr().err
    if key is None:
        assert warning == ""
    else:
        assert warning.startswith(f"warning: no trial can be pruned: hydra.sweeper.pruner.{key}, ")
        assert ("Lower" in warning) is not key.endswith(" 0")


def test_a_grid_with_fewer_points_than_trials_is_a_note(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    check("hydra/sweeper/sampler=grid", "model.dropout_rate=choice(0.1,0.2)", "optimizer.lr=1e-3")
    assert "note: " not in capsys.readouterr().err  # 216 points, 50 trials
    fixed = ("model.dropout_rate=0.1", "optimizer.lr=1e-3", "model.n_layers=1", "optimizer=sgd")
    check("hydra/sweeper/sampler=grid", *fixed)
    notes = capsys.readouterr().err
    assert "note: the grid has 12 points, so the search ends after 12 of hydra.sweeper.n_trials=50 trials." in notes


@pytest.mark.parametrize(
    ("arguments", "n_compositions"),
    [
        ([], 3),  # adam, rmsprop, sgd
        (["optimizer=adam"], 1),
        (["optimizer=adam", f"model.hidden_size=choice({','.join(map(str, range(1, 31)))})"], 1),
        (["optimizer=choice(adam,sgd)", "callbacks=choice(default,early_stopping)"], 2),
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


def test_too_few_folds_for_a_p_value_are_a_warning(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    check("data.resampling=kfold", "data.n_folds=3", "hydra/sweeper/pruner=wilcoxon")
    assert "no trial can be pruned: data.n_folds is 3, too few for a p-value below" in capsys.readouterr().err


def test_a_pruner_that_counts_more_folds_than_there_are_is_refused(check: Check) -> None:
    message = message_of(check, "data.resampling=kfold", "hydra/sweeper/pruner=hyperband", "trainer.max_epochs=20")
    assert "hydra.sweeper.pruner.max_resource is 20, but with data.resampling=kfold a step is a fold" in message
    check("data.resampling=kfold", "hydra/sweeper/pruner=hyperband", "hydra.sweeper.pruner.max_resource=5")
