"""`hydra.sweeper.enqueue`: the points that a new search tries first."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState

from lightsweep.config.fingerprint import Fingerprint
from lightsweep.errors import ConfigError
from lightsweep.search.enqueue import enqueue, points_to_enqueue
from lightsweep.search.request import parse_request
from lightsweep.search.space import SearchSpace
from lightsweep.search.study import record_fingerprint
from lightsweep.storage.storage import open_storage
from tests.command import SMALL, rows_of, succeed, the_folder, train
from tests.search.spaces import space_of

SPACE = {"lr": "interval(0.001,0.1)", "layers": "choice([8],[8,8])", "optimizer": "choice(adam,sgd)"}


def config(*, group: str = "adam", **values: Any) -> DictConfig:
    return OmegaConf.create({**values, "hydra": {"runtime": {"choices": {"optimizer": group}}}})


DEFAULTS = config(lr=0.01, layers=[8, 8], optimizer={"_target_": "Adam"})


def tried(setting: Any, *, space: SearchSpace | None = None, job_config: DictConfig = DEFAULTS) -> list[dict[str, Any]]:
    """Return the parameters of the trials that a new study has before the first one runs."""
    study = optuna.create_study()
    points = points_to_enqueue(setting, space=space or space_of(**SPACE), job_config=job_config, storage="unused")
    enqueue(study, points)
    return [trial.system_attrs["fixed_params"] for trial in study.trials if trial.state == TrialState.WAITING]


OWN = {"lr": 0.01, "layers": "[8,8]", "optimizer": "adam"}


def test_the_values_of_the_config_are_tried_first_in_the_form_of_the_study() -> None:
    assert tried("defaults") == [OWN]
    assert tried(None) == []


def test_a_parameter_that_the_config_does_not_have_is_left_to_the_sampler() -> None:
    assert tried("defaults", job_config=config(lr=0.01, layers=None)) == [{"lr": 0.01, "optimizer": "adam"}]


def test_a_parameter_whose_condition_does_not_hold_is_left_out() -> None:
    sweeps = {"optimizer": "choice(adam,sgd)", "momentum": "interval(0,1)"}
    space = parse_request(sweeps, [], when={"momentum": "optimizer=sgd"}).space
    assert tried("defaults", space=space, job_config=config(momentum=0.9)) == [{"optimizer": "adam"}]
    both = {"optimizer": "sgd", "momentum": 0.9}
    assert tried("defaults", space=space, job_config=config(group="sgd", momentum=0.9)) == [both]


def test_defaults_outside_of_the_space_are_not_tried_and_the_reason_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert tried("defaults", job_config=config(lr=0.5, layers=[8])) == []
    assert "lr is 0.5, which does not lie in 0.001 to 0.1" in capsys.readouterr().err


def test_a_list_of_points_follows_the_defaults_and_a_point_twice_is_tried_once(tmp_path: Path) -> None:
    points = [{"lr": 0.05}, {"layers": [8], "optimizer": "sgd"}, OWN | {"layers": [8, 8]}]
    expected = [OWN, {"lr": 0.05}, {"layers": "[8]", "optimizer": "sgd"}]
    assert tried(points) == expected
    assert tried(OmegaConf.create(points)) == expected
    file = tmp_path / "points.yaml"
    OmegaConf.save(OmegaConf.create(points), file)
    assert tried(str(file)) == expected
    OmegaConf.save(OmegaConf.create(points[0]), file)
    assert tried(str(file)) == expected[:2]


def test_a_grid_tries_every_point_anyway() -> None:
    space = space_of(optimizer="choice(adam,sgd)")
    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"optimizer": ["adam", "sgd"]}))
    enqueue(study, points_to_enqueue("defaults", space=space, job_config=DEFAULTS, storage="unused"))
    assert study.trials == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("default", r"enqueue is default, which does not exist\. Give hydra\.sweeper\.enqueue=defaults, null"),
        (7, r"enqueue is 7, which holds no list of points\. Give"),
        (["defaults"], r"enqueue is .*, which holds no list of points"),
        ([{"lr": 1.0}], r"enqueue, point 0: lr is 1\.0, which does not lie in 0\.001 to 0\.1"),
        ([{"lr": 0.01}, {"lr": "fast"}], r"point 1: lr is fast, which does not lie in"),
        ([{"optimizer": "lion"}], r"optimizer is lion, which does not lie in choice\('adam', 'sgd'\)"),
        ([{"depth": 3}], r"depth is not searched; searched are lr, layers, optimizer"),
        (".", r"enqueue=\.: that folder holds no optimization_results\.yaml"),
    ],
)
def test_what_cannot_be_tried_is_one_message(setting: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tried(setting)


def test_a_file_that_is_no_yaml_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "points.yaml").write_text("{[")
    with pytest.raises(ConfigError, match=r"points\.yaml, which is no YAML"):
        tried(str(tmp_path / "points.yaml"))


def test_the_best_trials_of_a_search_that_lie_in_the_space_are_tried(tmp_path: Path) -> None:
    space = space_of(x="interval(0,1)")
    study = optuna.create_study(
        study_name="mlp", storage=open_storage(str(tmp_path / "study.journal")), direction="maximize"
    )
    record_fingerprint(study, Fingerprint(strict={}, informational={}), allow_changes=[])
    for x in (0.1, 0.2, 0.9):
        study.enqueue_trial({"x": x})
        study.tell(study.ask(space.distributions), x)
    (tmp_path / "optimization_results.yaml").write_text("study_name: mlp\nstorage: /gone/study.journal\n")
    narrow = space_of(x="interval(0,0.5)")
    assert tried(str(tmp_path), space=narrow, job_config=config(x=0.3)) == [{"x": 0.3}, {"x": 0.2}, {"x": 0.1}]
    with pytest.raises(ConfigError, match="no complete trial of that search lies in the space"):
        tried(str(tmp_path), space=space_of(x="interval(2,3)"))


@pytest.mark.slow
def test_a_search_begins_with_the_defaults_and_given_points_and_a_resumed_one_does_not_repeat_them(
    tmp_path: Path,
) -> None:
    search = ("hparams_search=mlp", *SMALL, "hydra.sweeper.n_trials=2")
    succeed(*search, "hydra.sweeper.enqueue=[{optimizer.lr:0.005,optimizer:sgd}]", cwd=tmp_path)
    first, second = rows_of(the_folder(tmp_path) / "trials.csv")
    assert (first["model.n_layers"], first["optimizer.lr"], first["optimizer"]) == ("2", "0.001", "adam")
    assert (second["optimizer.lr"], second["optimizer"]) == ("0.005", "sgd")
    succeed("resume=last", "hydra.sweeper.n_trials=3", cwd=tmp_path)
    assert len(rows_of(the_folder(tmp_path) / "trials.csv")) == 3
    bad = train(*search, "hydra.sweeper.enqueue=[{optimizer.lr:7}]", "hydra.sweep.dir=other", cwd=tmp_path)
    assert (bad.code, bad.err.count("Traceback")) == (1, 0)
    assert "optimizer.lr is 7, which does not lie in 1e-05 to 0.01 (log)" in bad.err
    assert not (tmp_path / "other").exists()
