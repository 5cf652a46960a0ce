"""The study: the shipped samplers and pruners, the seed of a resumed search, and studies that are rejected."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import DictConfig, OmegaConf
from optuna.pruners import HyperbandPruner, NopPruner
from optuna.samplers import GridSampler, RandomSampler
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState

from lightsweep.config.fingerprint import Fingerprint
from lightsweep.direction import Direction
from lightsweep.errors import ConfigError
from lightsweep.search.space import SearchSpace
from lightsweep.search.study import build_sampler, grid_size, open_study, record_fingerprint
from lightsweep.storage.storage import open_storage
from lightsweep.trial.pruner import build_pruner
from tests.conftest import CONF, Compose
from tests.search.spaces import space_of

SAMPLERS = sorted(path.stem for path in (CONF / "hydra" / "sweeper" / "sampler").glob("*.yaml"))
PRUNERS = sorted(path.stem for path in (CONF / "hydra" / "sweeper" / "pruner").glob("*.yaml"))
N_EPOCHS = 5


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # as the search does
    yield
    optuna.logging.set_verbosity(before)


MIXED = {"x": "interval(0, 1)", "lr": "tag(log, interval(1e-5, 1e-2))", "n": "int(interval(1, 3))", "c": "choice(a, b)"}
COUNTABLE = {"n": "range(64, 257, 64)", "c": "choice(a, b, [1])", "d": "choice(true, 1.5)"}


def sweeper_of(composed: Compose, *overrides: str) -> DictConfig:
    sweeper = composed("hparams_search=mlp", *overrides).hydra.sweeper
    assert isinstance(sweeper, DictConfig)
    return sweeper


def learning_curve(space: SearchSpace, trial: optuna.Trial) -> float:
    """Report a learning curve that rises linearly to a value that depends on the numeric parameters."""
    numeric = [value for value in space.suggest(trial).values() if isinstance(value, int | float)]
    final = sum(numeric) % 1.0
    for epoch in range(N_EPOCHS):
        trial.report(final * (epoch + 1) / N_EPOCHS, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return final


def searched(study: optuna.Study, space: SearchSpace, *, n_trials: int = 15) -> optuna.Study:
    study.optimize(partial(learning_curve, space), n_trials=n_trials)
    return study


def sampled(node: DictConfig, space: SearchSpace, *, n_trials: int) -> optuna.Study:
    return searched(optuna.create_study(sampler=build_sampler(node, space=space)), space, n_trials=n_trials)


def pruned(composed: Compose, pruner: str, *, seed: int = 0, x: str = "interval(0, 1)") -> optuna.Study:
    """Search `x` with the random sampler and this pruner."""
    built = build_pruner(sweeper_of(composed, f"hydra/sweeper/pruner={pruner}").pruner)
    study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=seed), pruner=built)
    return searched(study, space_of(x=x), n_trials=40)


def space_for(sampler: str) -> SearchSpace:
    return space_of(**COUNTABLE if sampler == "grid" else MIXED)


def points(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_sampler_of_the_config_runs_a_reproducible_search(sampler: str, composed: Compose) -> None:
    space = space_for(sampler)
    sweeper = sweeper_of(composed, f"hydra/sweeper/sampler={sampler}")

    def search() -> optuna.Study:
        sampler, pruner = build_sampler(sweeper.sampler, space=space), build_pruner(sweeper.pruner)
        return searched(optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner), space)

    first, again = search(), search()
    assert len(first.trials) == 15
    assert {t.state for t in first.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert points(first) == points(again)
    for trial in first.trials:
        assert trial.distributions == space.distributions


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_sampler_uses_the_seed_of_the_config(sampler: str, composed: Compose) -> None:
    nodes = (sweeper_of(composed, f"hydra/sweeper/sampler={sampler}", f"seed={seed}").sampler for seed in (0, 1))
    one, other = (sampled(node, space_for(sampler), n_trials=3) for node in nodes)
    assert points(one) != points(other)


@pytest.mark.parametrize("pruner", PRUNERS)
def test_each_pruner_of_the_config_completes_some_trials(pruner: str, composed: Compose) -> None:
    study = pruned(composed, pruner)
    states = {t.state for t in study.trials}
    assert TrialState.COMPLETE in states
    # `none` prunes nothing, nor does `patient` on curves that always rise.
    assert (TrialState.PRUNED in states) == (pruner not in ("none", "patient"))
    assert all(len(t.intermediate_values) > 0 for t in study.trials)


@pytest.mark.parametrize("pruner", PRUNERS)
def test_the_best_trial_is_not_pruned_if_curves_do_not_cross(pruner: str, composed: Compose) -> None:
    study = pruned(composed, pruner, seed=1, x="interval(0.3, 1)")
    final = {t.number: t.params["x"] for t in study.trials}
    if pruner != "threshold":  # which does not compare trials
        assert study.best_trial.number == max(final, key=final.__getitem__)


@pytest.mark.parametrize("pruner", ["median", "percentile"])
def test_pruning_starts_after_the_startup_trials_and_after_the_first_epoch(pruner: str, composed: Compose) -> None:
    ended = [t for t in pruned(composed, pruner).trials if t.state == TrialState.PRUNED]
    assert min(t.number for t in ended) >= 5
    assert min(len(t.intermediate_values) for t in ended) == 1


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes", "nsgaii"])
def test_a_resumed_search_draws_new_points(sampler: str, composed: Compose) -> None:
    node = sweeper_of(composed, f"hydra/sweeper/sampler={sampler}").sampler
    space = space_of(**MIXED)
    study = sampled(node, space, n_trials=3)
    study.sampler = build_sampler(node, space=space, seed_offset=3)
    searched(study, space, n_trials=3)
    assert len({p["x"] for p in points(study)}) == 6


@pytest.mark.parametrize("sampler", ["grid", "qmc"])
def test_a_resumed_grid_or_quasi_random_search_continues_its_sequence(sampler: str, composed: Compose) -> None:
    node = sweeper_of(composed, f"hydra/sweeper/sampler={sampler}").sampler
    space = space_of(**COUNTABLE if sampler == "grid" else {"x": "interval(0, 1)"})
    whole, halves = (sampled(node, space, n_trials=n) for n in (8, 4))
    halves.sampler = build_sampler(node, space=space, seed_offset=4)
    searched(halves, space, n_trials=4)
    assert sorted(map(str, points(halves))) == sorted(map(str, points(whole)))
    assert len(set(map(str, points(halves)))) == 8


def test_the_number_of_existing_trials_is_added_to_a_seed_that_is_given() -> None:
    space = space_of(x="interval(0, 1)")

    def first_point(seed: int | None, *, seed_offset: int) -> float:
        node = OmegaConf.create({"_target_": "optuna.samplers.RandomSampler", "seed": seed})
        sampler = build_sampler(node, space=space, seed_offset=seed_offset)
        x = space.suggest(optuna.create_study(sampler=sampler).ask())["x"]
        assert isinstance(x, float)
        return x

    assert first_point(7, seed_offset=3) == first_point(10, seed_offset=0)
    assert first_point(None, seed_offset=3) != first_point(None, seed_offset=3)


def test_a_grid_search_visits_every_point_once_and_its_size_is_known(composed: Compose) -> None:
    space = space_of(**COUNTABLE)
    study = sampled(sweeper_of(composed, "hydra/sweeper/sampler=grid").sampler, space, n_trials=24)
    assert isinstance(study.sampler, GridSampler)
    assert grid_size(study.sampler, space) == 4 * 3 * 2
    assert len(set(map(str, points(study)))) == 24
    assert grid_size(RandomSampler(), space) is None


BUILDERS: dict[str, Callable[[DictConfig], Any]] = {
    "sampler": partial(build_sampler, space=space_of(**MIXED)),
    "pruner": build_pruner,
}


@pytest.mark.parametrize(
    ("part", "node", "message"),
    [
        ("sampler", {"_target_": "optuna.pruners.NopPruner"}, "hydra.sweeper.sampler is a NopPruner, not a sampler"),
        ("pruner", {"_target_": "optuna.samplers.RandomSampler"}, "hydra.sweeper.pruner is a RandomSampler, not a"),
        ("sampler", {"_target_": "os.system", "command": "true"}, "os.system"),
        ("pruner", {"_target_": "os.system", "command": "true"}, "os.system"),
        ("pruner", {"_target_": "optuna.create_study"}, "optuna.create_study"),
    ],
)
def test_other_targets_than_samplers_and_pruners_are_rejected(part: str, node: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        BUILDERS[part](OmegaConf.create(node))


@pytest.mark.parametrize("max_epochs", [1, 2, 5, 9, 27, 100])
def test_the_driver_and_its_jobs_agree_on_the_hyperband_bracket_of_a_trial(max_epochs: int, composed: Compose) -> None:
    """With `max_resource: auto`, Optuna's pruner would take it from the trials that are complete at the time."""
    node = sweeper_of(composed, "hydra/sweeper/pruner=hyperband", f"trainer.max_epochs={max_epochs}").pruner
    driver = build_pruner(node)
    study = optuna.create_study(study_name="mlp", sampler=RandomSampler(seed=0), pruner=driver)
    searched(study, space_of(x="interval(0, 1)"), n_trials=20)
    for trial in study.trials:
        in_a_job = optuna.load_study(study_name="mlp", storage=study._storage, pruner=build_pruner(node))
        brackets = []
        for pruner in (driver, in_a_job.pruner):
            assert isinstance(pruner, HyperbandPruner)
            if not pruner._pruners:
                pruner._try_initialization(in_a_job)
            brackets.append((pruner._n_brackets, pruner._get_bracket_id(in_a_job, trial)))
        assert brackets[0] == brackets[1]


def test_the_resource_of_hyperband_is_the_number_of_epochs(composed: Compose) -> None:
    node = sweeper_of(composed, "hydra/sweeper/pruner=hyperband", "trainer.max_epochs=9").pruner
    assert (node.min_resource, node.max_resource, node.reduction_factor) == (1, 9, 3)


def opened(storage: BaseStorage, **changes: Any) -> optuna.Study:
    defaults = {"name": "mlp", "directions": ["maximize"], "sampler": RandomSampler(), "pruner": NopPruner()}
    return open_study(storage=storage, **{**defaults, **changes})[0]


def test_one_of_two_drivers_that_open_a_study_at_once_has_created_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: Any = {"name": "mlp", "directions": ["maximize"], "sampler": RandomSampler(), "pruner": NopPruner()}
    storage, load_study = InMemoryStorage(), optuna.load_study
    other: list[bool] = []

    def load_before_the_other_creates_it(**parts: Any) -> optuna.Study:
        monkeypatch.setattr(optuna, "load_study", load_study)
        other.append(open_study(storage=storage, **settings)[1])
        raise KeyError

    monkeypatch.setattr(optuna, "load_study", load_before_the_other_creates_it)
    assert (open_study(storage=storage, **settings)[1], other) == (False, [True])


@pytest.mark.parametrize("kind", ["memory", "journal", "sqlite"])
def test_a_study_is_created_and_opened_again(kind: str, tmp_path: Path) -> None:
    urls = {"journal": str(tmp_path / "study.journal"), "sqlite": f"sqlite:///{tmp_path}/study.db"}
    storage = open_storage(urls[kind]) if kind in urls else InMemoryStorage()
    record(storage)
    searched(opened(storage), space_of(**MIXED), n_trials=2)
    if kind in urls:
        open_storage.cache_clear()
        storage = open_storage(urls[kind])
    sampler, pruner = RandomSampler(), NopPruner()
    again = opened(storage, sampler=sampler, pruner=pruner)
    assert len(again.trials) == 2
    assert (again.sampler, again.pruner) == (sampler, pruner)
    assert again.direction.name == "MAXIMIZE"
    open_storage.cache_clear()


@pytest.mark.parametrize(("existing", "requested"), [("maximize", "minimize"), ("minimize", "maximize")])
def test_a_study_of_the_other_direction_is_rejected(existing: Direction, requested: Direction) -> None:
    storage = InMemoryStorage()
    searched(opened(storage, directions=[existing]), space_of(**MIXED), n_trials=1)
    with pytest.raises(
        ConfigError, match=f"direction is {requested}, but the study 'mlp' was made to {existing}"
    ) as caught:
        opened(storage, directions=[requested])
    assert "hydra.sweeper.study_name=" in str(caught.value)
    assert "hydra.sweeper.storage=" in str(caught.value)


def record(storage: BaseStorage, *, allow: Sequence[str] = (), informational: str = "1", **strict: str) -> bool:
    now = Fingerprint(strict=strict, informational={"version of torch": informational})
    return record_fingerprint(opened(storage), now, allow_changes=allow)


def test_a_study_with_other_settings_is_rejected_with_a_table_of_the_differences() -> None:
    storage = InMemoryStorage()
    record(storage, seed="1", **{"model.activation": "relu", "gone": "x"})
    searched(opened(storage), space_of(**MIXED), n_trials=1)
    before = opened(storage).user_attrs
    with pytest.raises(ConfigError, match="the study 'mlp' was made with other settings") as caught:
        record(storage, seed="2", new="y", **{"model.activation": "gelu"})
    assert str(caught.value).splitlines()[1:6] == [
        "                    then  now",
        "  gone              x     -",
        "  model.activation  relu  gelu",
        "  new               -     y",
        "  seed              1     2",
    ]
    assert "'allow_changes=[gone,model.activation,new,seed]'" in str(caught.value)
    assert "fork=<folder>" in str(caught.value)
    assert opened(storage).user_attrs == before  # unchanged


@pytest.mark.parametrize("allow", [["model", "seed"], ["model.activation", "seed"]])
def test_an_allowed_change_is_recorded(allow: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    storage = InMemoryStorage()
    record(storage, seed="1", **{"model.activation": "relu"})
    changed = {"seed": "2", "model.activation": "gelu"}
    assert record(storage, allow=allow, **changed)
    assert "relu  gelu" in capsys.readouterr().err
    assert not record(storage, **changed)


@pytest.mark.parametrize("allow", [["mode"], ["model.act"], ["seed"], []])
def test_other_changes_than_the_allowed_ones_are_rejected(allow: list[str]) -> None:
    storage = InMemoryStorage()
    record(storage, **{"model.activation": "relu"})
    with pytest.raises(ConfigError, match="other settings"):
        record(storage, allow=allow, **{"model.activation": "gelu"})


def test_choices_can_not_change_within_a_study() -> None:
    storage = InMemoryStorage()
    record(storage, c="searched: choice('a', 'b')")
    with pytest.raises(ConfigError, match=r"the choices of c can't change.*fork="):
        record(storage, allow=["c"], c="searched: choice('a')")


def test_a_change_of_versions_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    storage = InMemoryStorage()
    record(storage, seed="1", informational="1")
    assert not record(storage, seed="1", informational="2")
    assert "  version of torch  1     2" in capsys.readouterr().err
    record(storage, seed="1", informational="2")
    assert capsys.readouterr().err == ""


def test_a_search_of_a_version_that_read_codes_as_numbers_is_resumed_with_a_warning_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    storage = InMemoryStorage()
    record(storage, seed="1")
    assert not record(storage, seed="1", **{"data.encoding": "None"})
    assert "data.kinds={<column>:number}" in capsys.readouterr().err
    record(storage, seed="1", **{"data.encoding": "None"})
    assert capsys.readouterr().err == ""


def test_a_study_that_was_not_made_by_lightsweep_is_rejected() -> None:
    storage = InMemoryStorage()
    foreign = optuna.create_study(study_name="mlp", storage=storage, direction="maximize")
    foreign.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(ConfigError, match="the study 'mlp' exists and was not made by Lightsweep"):
        opened(storage)


def test_an_empty_study_is_accepted_and_gets_the_settings_of_the_search() -> None:
    storage = InMemoryStorage()
    optuna.create_study(study_name="mlp", storage=storage, direction="maximize")
    assert not record(storage, seed="1")
    with pytest.raises(ConfigError, match="other settings"):
        record(storage, seed="2")
