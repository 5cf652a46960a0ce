"""The cached config loader returns the same config as Hydra's own loader for any overrides."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from lightsweep.search.config_loader import CachedConfigLoader
from lightsweep.search.folder import use_folder
from tests.conftest import CONF

FIXED = ["hparams_search=mlp", "model.activation=tanh"]  # every job gets the overrides of the search

JOBS = [
    [],
    ["model.n_layers=3", "model.dropout_rate=0.25"],
    ["optimizer=sgd", "optimizer.lr=1e-05", "data.batch_size=128"],
    ["optimizer.lr=0.5", "optimizer=sgd"],
    ["optimizer=rmsprop", "callbacks=early_stopping", "callbacks.early_stopping.patience=3", "seed=7"],
    ["model.activation='gelu'", r"+note='a b,c=d \'e\''", "+empty='null'", "+nothing=null", "+text='true'"],
    ["+model.extra={a: 1, b: [2, 3]}", "++model.n_layers=4", "++model.other.deep=x"],
    ["+model.list=[1,2]", "model.list=[3]", "model.list[0]=4"],
    ["~model.activation", "~callbacks.checkpoint"],
    ["~logger"],
    ["model={n_layers: 9}"],
    ["+optimizer@second=adam", "second.lr=3"],
    ["trainer.max_epochs=${seed}", "seed=3", "monitor=${oc.env:HOME}"],
    ["model.n_layers=1", "model.n_layers=2", "model.n_layers=1"],
    ["hydra.sweep.subdir=best", "trainer.max_epochs=2"],
    ["hydra.sweep.dir=/tmp/a", "optimizer=sgd", "hydra.sweep.subdir=best", "++hydra.sweep.subdir=better"],
    ["hydra.job.chdir=true"],
    ["hydra.job.env_copy=[HOME]"],
    ["hydra/job_logging=none", "model.n_layers=2"],
]

REJECTED = [
    ["model.n_layer=3"],
    ["optimizer=sdg"],
    ["+model.n_layers=3"],
    ["~model.n_layer"],
    ["model.n_layers=1,2"],
    ["model.n_layers=choice(1,2)"],
    ["hydra/launcher=joblib"],
    ["hydra.sweeper.n_trials=3"],
    ["hydra.aliases={a: b}"],
    ["model.n_layers=[1"],
    ["optimizer@model.inner=sgd"],
    ["optimizer@nowhere=adam", "nowhere.lr=2"],
]


class Setup:
    def __init__(self, *overrides: str) -> None:
        self.hydras = GlobalHydra.instance().config_loader()
        self.config = self.hydras.load_configuration("train", overrides=list(overrides), run_mode=RunMode.MULTIRUN)
        self.cached = CachedConfigLoader(self.hydras)

    def job(self, *overrides: str) -> DictConfig:
        return self.cached.load_sweep_config(self.config, [*FIXED, *overrides])

    def expected(self, *overrides: str) -> Any:
        return nodes_and_yaml(self.hydras.load_sweep_config(self.config, [*FIXED, *overrides]))


@pytest.fixture
def setup() -> Iterator[Setup]:
    with initialize_config_dir(config_dir=str(CONF)):
        unresolved = "hydra.sweep.dir=${oc.env:HOME}/x"  # must stay unresolved in hydra.overrides
        yield Setup(*FIXED, "+hydra.job.env_copy=[HOME]", "hydra.job.chdir=true", unresolved)


def nodes_of(cfg: Any, key: str = "") -> Iterator[tuple[Any, ...]]:
    """Yield each node with its key, type, flags and value; interpolations stay unresolved."""
    yield key, type(cfg), cfg._metadata.flags, cfg._metadata.ref_type
    if not OmegaConf.is_config(cfg):
        yield key, cfg._value()
    elif not (cfg._is_none() or cfg._is_missing() or cfg._is_interpolation()):
        names = range(len(cfg)) if OmegaConf.is_list(cfg) else cfg.keys()
        for name in names:
            yield from nodes_of(cfg._get_node(name), f"{key}.{name}")


def nodes_and_yaml(cfg: DictConfig) -> Any:
    with open_dict(cfg.hydra.job):
        cfg.hydra.job.num = 3
        cfg.hydra.job.id = "3"
    return [*nodes_of(cfg)], OmegaConf.to_yaml(cfg)


@pytest.mark.parametrize("overrides", JOBS, ids=" ".join)
def test_the_config_equals_the_one_that_hydra_composes(overrides: list[str], setup: Setup) -> None:
    expected = setup.expected(*overrides)
    for _ in range(3):  # the first call composes, the others copy
        assert nodes_and_yaml(setup.job(*overrides)) == expected


def test_jobs_use_the_output_folder_that_is_set_after_the_first_composition(setup: Setup, tmp_path: Path) -> None:
    setup.job("optimizer=sgd")
    use_folder(setup.config, tmp_path)
    for overrides in (["optimizer=sgd"], ["optimizer=sgd", "hydra.sweep.subdir=best"], ["optimizer=adam"]):
        job = setup.job(*overrides)
        assert nodes_and_yaml(job) == setup.expected(*overrides)
        assert job.hydra.sweep.dir == str(tmp_path)


def test_changes_to_the_config_of_a_job_do_not_reach_the_next_job(setup: Setup) -> None:
    for overrides in JOBS[:6]:
        expected = setup.expected(*overrides)
        for _ in range(2):
            job = setup.job(*overrides)
            assert nodes_and_yaml(job) == expected
            OmegaConf.set_struct(job, False)
            job.model = {"changed": True}
            job.hydra.overrides.task.append("changed=true")
            job.hydra.runtime.choices.optimizer = "changed"


@pytest.mark.parametrize("overrides", REJECTED, ids=" ".join)
def test_rejected_overrides_raise_the_same_error_as_with_hydras_loader(overrides: list[str], setup: Setup) -> None:
    def error_of(loader: ConfigLoaderImpl) -> tuple[type, str]:
        with pytest.raises(HydraException) as caught:
            loader.load_sweep_config(setup.config, [*FIXED, *overrides])
        return caught.type, str(caught.value)

    setup.job()
    assert error_of(setup.cached) == error_of(setup.hydras)


def test_another_master_config_does_not_get_cached_configs_of_the_first(setup: Setup) -> None:
    setup.job()
    other = Setup(*FIXED, "hydra.job.name=other")
    assert setup.cached.load_sweep_config(other.config, FIXED).hydra.job.name == "other"


def test_each_choice_of_groups_is_composed_once_and_the_cache_is_sent_to_workers(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    for optimizer in ("adam", "sgd"):
        setup.job(f"optimizer={optimizer}", "seed=1")
    others = [[f"optimizer={optimizer}", "seed=2", "model.n_layers=3"] for optimizer in ("sgd", "adam")]
    expected = [setup.expected(*other) for other in others]
    sent = pickle.loads(pickle.dumps(setup.cached))  # noqa: S301
    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", None)
    for loader in (setup.cached, sent):
        assert [
            nodes_and_yaml(loader.load_sweep_config(setup.config, [*FIXED, *other])) for other in others
        ] == expected


def test_the_cache_has_a_limit(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightsweep.search.config_loader.MAX_CACHED_CONFIGS", 2)
    for name in ("adam", "sgd", "rmsprop", "adam"):
        assert nodes_and_yaml(setup.job(f"optimizer={name}")) == setup.expected(f"optimizer={name}")


def test_env_copy_reads_the_environment_when_the_job_is_composed(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.job()
    monkeypatch.setenv("HOME", "/elsewhere")
    assert setup.job().hydra.job.env_set.HOME == "/elsewhere"
    monkeypatch.delenv("HOME")
    with pytest.raises(KeyError):
        setup.job()
