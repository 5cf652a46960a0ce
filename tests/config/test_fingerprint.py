"""The fingerprint of a search, with the shipped config: which changes make it another search."""

import os
import subprocess
import sys
from pathlib import Path

import hydra.utils
import pytest
from omegaconf import OmegaConf

from lightsweep.config.fingerprint import ADDED, Fingerprint, differences, is_within, side_by_side
from lightsweep.config.targets import RENAMED_TARGETS
from tests.conftest import Compose

SPACE = {"model.n_layers": "1 to 3", "optimizer": "choice('adam', 'sgd')"}


def fingerprint(composed: Compose, *overrides: str) -> Fingerprint:
    configs = [composed("hparams_search=mlp", "optimizer=sgd", *overrides), composed("hparams_search=mlp", *overrides)]
    return Fingerprint.of(configs, space=SPACE, directions=["maximize"])


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        (["seed=7"], ["data.seed", "seed"]),
        (["model.activation=gelu"], ["model.activation"]),
        (["trainer.max_epochs=9"], ["trainer.max_epochs"]),
        (
            ["data=synthetic", "data.n_samples=9"],
            ["data._target_", "data.n_classes", "data.n_features", "data.n_samples"],
        ),
        (["callbacks=early_stopping"], ["callbacks.early_stopping._target_"]),
        (["model.n_layers=3"], []),  # searched, so the space counts
        (["logger=tensorboard", "verbose=true", "threads=2", "trainer=cpu", "model.batches_per_step=1"], []),
        (["monitor=[val/acc]", "ship=knee"], []),
        (["monitor=[val/acc,val/loss]"], ["monitor", "callbacks.pruning.direction"]),
        (["hydra.sweeper.n_trials=7", "hydra/launcher=joblib", "hydra/sweeper/pruner=none"], []),
    ],
)
def test_a_change_of_the_meaning_of_a_value_is_a_difference(
    overrides: list[str], changed: list[str], composed: Compose
) -> None:
    found = differences(fingerprint(composed).strict, fingerprint(composed, *overrides).strict)
    assert set(changed) <= set(found)
    assert bool(found) == bool(changed)


def test_all_settings_of_each_choice_of_a_group_count(composed: Compose) -> None:
    adam, sgd = composed("hparams_search=mlp"), composed("hparams_search=mlp", "optimizer=sgd")
    other = composed("hparams_search=mlp", "optimizer=sgd", "optimizer.momentum=0.5")
    then, now = (Fingerprint.of([adam, choice], space=SPACE, directions=["maximize"]) for choice in (sgd, other))
    assert differences(then.strict, now.strict) == {"optimizer.momentum": ("0.9", "0.5")}


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("verbose=true", []),
        ("data.rare_classes=drop", ["data.rare_classes"]),
        ("data.encoding=latin-1", ["data.encoding"]),
        ("data.scale=quantile", ["data.scale"]),
    ],
)
def test_a_key_that_an_earlier_version_did_not_have_counts_once_it_is_set(
    override: str, changed: list[str], composed: Compose
) -> None:
    table = ("data=table", "data.path=a.csv", "data.target=y")
    now = fingerprint(composed, *table).strict
    then = {key: value for key, value in now.items() if key not in ADDED}
    assert then.keys() | ADDED.keys() == now.keys()
    assert list(differences(then, fingerprint(composed, *table, override).strict)) == changed
    assert differences(then | {"data.rare_classes": "drop"}, now) == {"data.rare_classes": ("drop", "refuse")}


@pytest.mark.parametrize("key", ["path", "val_path", "test_path", "y_path"])
def test_the_content_of_a_data_file_is_strict_and_its_path_informational(key: str, tmp_path: Path) -> None:
    one, copy, other = (tmp_path / name for name in ("one.csv", "copy.csv", "other.csv"))
    for path, text in ((one, "a,b\n"), (copy, "a,b\n"), (other, "a,c\n")):
        path.write_text(text)

    def of(path: Path) -> Fingerprint:
        return Fingerprint.of([OmegaConf.create({"data": {key: str(path)}})], space={}, directions=["maximize"])

    assert differences(of(one).strict, of(copy).strict) == {}
    assert set(differences(of(one).informational, of(copy).informational)) == {f"data.{key} (path)"}
    assert set(differences(of(one).strict, of(other).strict)) == {f"data.{key}"}
    assert "(4 bytes)" in of(one).strict[f"data.{key}"]


def test_a_file_that_is_changed_in_place_is_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    config = OmegaConf.create({"data": {"path": str(path)}})
    digests = []
    for second, text in enumerate(("a,b\n", "a,c\n")):
        path.write_text(text)
        os.utime(path, (second, second))
        digests.append(Fingerprint.of([config], space={}, directions=["maximize"]).strict["data.path"])
    assert digests[0] != digests[1]


def test_the_folder_of_the_data_cache_is_no_difference(composed: Compose) -> None:
    table = ["data=table", "data.path=a.csv", "data.target=y"]
    found = [fingerprint(composed, *table, f"data.cache={name}", f"data.relative_to={name}") for name in "ab"]
    assert differences(found[0].strict, found[1].strict) == {}


def test_versions_and_commit_are_informational(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py")])
    empty = OmegaConf.create({})
    assert "git commit" not in Fingerprint.of([empty], space={}, directions=["maximize"]).informational
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "train.py").write_text("1")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    informational = Fingerprint.of([empty], space={}, directions=["maximize"]).informational
    assert len(informational["git commit"]) == 40
    assert informational["git tree"] == "clean"
    assert informational["version of torch"].startswith("2.")
    (tmp_path / "train.py").write_text("2")
    assert Fingerprint.of([empty], space={}, directions=["maximize"]).informational["git tree"] == "changed"


def test_a_record_is_read_back_and_anything_else_is_none() -> None:
    now = Fingerprint(strict={"a": "1"}, informational={"b": "2"})
    assert Fingerprint.from_record(now.to_record()) == now
    for record in (None, {}, {"measured": 3, "noted": {}}, "x", {"measured": {}}):
        assert Fingerprint.from_record(record) is None


def test_a_renamed_target_in_an_earlier_record_is_no_difference() -> None:
    then = {"optimizer._target_": "lightsweep.optimizer.rmsprop.RMSprop", "optimizer.lr": "0.1", "x": "y"}
    now = {**then, "optimizer._target_": "torch.optim.RMSprop"}
    assert Fingerprint.from_record({"measured": then, "noted": {}}) == Fingerprint(strict=now, informational={})


@pytest.mark.parametrize("target", RENAMED_TARGETS.values())
def test_the_present_name_of_a_renamed_target_can_be_imported(target: str) -> None:
    assert callable(hydra.utils.get_object(target))


def test_missing_values_and_those_known_only_in_a_job_keep_their_text() -> None:
    config = OmegaConf.create({"a": "${nowhere:x}", "b": "???", "c": ["${d}", 1], "d": 5})
    strict = Fingerprint.of([config], space={}, directions=["maximize"]).strict
    assert strict == {"a": "${nowhere:x}", "b": "???", "c.0": "5", "c.1": "1", "d": "5", "direction": "maximize"}


@pytest.mark.parametrize(
    ("key", "group", "within"),
    [("a.b", "a", True), ("a", "a", True), ("ab", "a", False), ("a", "a.b", False), ("db/x", "db", True)],
)
def test_a_group_includes_the_keys_below_it(key: str, group: str, within: bool) -> None:
    assert is_within(key, [group]) is within


def test_differences_are_shown_side_by_side() -> None:
    assert (
        side_by_side({"seed": ("1", "22"), "x": ("-", "0")}) == "        then  now\n  seed  1     22\n  x     -     0"
    )
