"""Aliases on the command line, and `resume=...` as the arguments of the earlier search."""

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lightsweep.config.command_line import COMMAND, expand_aliases, expand_arguments, expand_resume, save_command
from lightsweep.errors import ConfigError
from tests.conftest import Compose


def save_search(outputs: Path, name: str, *, task: list[str], hydra: list[str], age_s: float = 0) -> Path:
    folder = outputs / "mlp" / name
    folder.mkdir(parents=True)
    save_command(folder, config=OmegaConf.create({"hydra": {"overrides": {"task": task, "hydra": hydra}}}))
    written = (folder / COMMAND).stat().st_mtime - age_s
    os.utime(folder / COMMAND, (written, written))
    return folder


@pytest.mark.parametrize(
    ("argument", "expanded"),
    [
        ("preflight=true", ["hydra.sweeper.preflight=true"]),
        ("optimizer=null", ["~optimizer"]),
        ("logger=null", ["~logger"]),
        ("hparams_search=null", []),
        ("model.schedule=null", ["model.schedule=null"]),
    ],
)
def test_an_alias_stands_for_its_setting_and_a_group_can_be_null(argument: str, expanded: list[str]) -> None:
    assert expand_aliases([argument]) == expanded


PROCESSES = "hydra/launcher=processes"


@pytest.mark.parametrize(
    ("saved", "given", "expanded"),
    [
        ([], ["workers=8"], ["hydra.sweeper.n_jobs=8", PROCESSES]),
        ([], ["workers=auto"], ["hydra.sweeper.n_jobs=null", PROCESSES]),
        ([], ["workers=8", "hydra/launcher=ray"], ["hydra.sweeper.n_jobs=8", "hydra/launcher=ray"]),
        ([], ["gpus=[0,1]"], ["hydra.launcher.gpus=[0,1]", PROCESSES, "hydra.sweeper.n_jobs=null"]),
        ([], ["gpus=auto", "workers=2"], ["hydra.launcher.gpus=auto", "hydra.sweeper.n_jobs=2", PROCESSES]),
        ([], ["gpus=null"], ["hydra.launcher.gpus=null", PROCESSES]),
        ([], ["hydra.sweeper.n_jobs=2"], ["hydra.sweeper.n_jobs=2"]),
        (["x=1"], ["workers=2"], ["x=1", "hydra.sweeper.n_jobs=2", PROCESSES]),
        (["hydra/launcher=joblib"], ["workers=2"], ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2"]),
        ([PROCESSES, "hydra.sweeper.n_jobs=4"], ["workers=2"], [PROCESSES, "hydra.sweeper.n_jobs=2"]),
        (
            [PROCESSES, "hydra.sweeper.n_jobs=4", "hydra.launcher.gpus=[0,1]"],
            ["gpus=auto"],
            [PROCESSES, "hydra.sweeper.n_jobs=4", "hydra.launcher.gpus=auto"],
        ),
        ([PROCESSES, "hydra.launcher.gpus=auto"], ["hydra/launcher=joblib"], ["hydra/launcher=joblib"]),
        ([PROCESSES, "hydra.launcher.gpus=auto"], [PROCESSES], ["hydra.launcher.gpus=auto", PROCESSES]),
    ],
)
def test_workers_and_gpus_choose_the_launcher_that_is_not_chosen_yet(
    saved: list[str], given: list[str], expanded: list[str], tmp_path: Path
) -> None:
    if saved:
        save_search(tmp_path, "earlier", task=saved, hydra=[])
        given = ["resume=last", *given]
    assert [a for a in expand_arguments(given, outputs=tmp_path) if not a.startswith("hydra.sweep.dir=")] == expanded


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["workers=0"], "workers is '0'; it must be a whole number of at least 1, or auto."),
        (["workers=many"], "workers is 'many'; it must be"),
        (["workers="], "workers is ''; it must be"),
        (["gpus=2"], r"gpus is '2'; it must be auto, or a list of GPUs by their numbers .* such as \[0,1\]"),
        (["gpus=0,1"], "gpus is '0,1'; it must be auto, or a list"),
        (["gpus=auto", "hydra/launcher=joblib"], "gpus is given with hydra/launcher=joblib, which has no such setting"),
        (["workers_per_gpu=2", "hydra/launcher=ray"], "workers_per_gpu is given with hydra/launcher=ray"),
    ],
)
def test_wrong_workers_and_gpus_are_one_message(given: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        expand_arguments(given, outputs=tmp_path)


def test_arguments_without_resume_are_kept(tmp_path: Path) -> None:
    assert expand_resume(["-m", "seed=1,2"], outputs=tmp_path) == ["-m", "seed=1,2"]


@pytest.mark.parametrize("how", ["last", "folder"])
def test_resume_repeats_the_arguments_and_later_ones_win(how: str, tmp_path: Path) -> None:
    save_search(tmp_path, "older", task=["hparams_search=other"], hydra=[], age_s=60)
    task, hydra = ["hparams_search=mlp", "data=synthetic"], ["hydra.sweeper.n_trials=9", "hydra.mode=MULTIRUN"]
    folder = save_search(tmp_path, "newer", task=task, hydra=[*hydra, "hydra.sweep.dir='/elsewhere'"])
    resumed = "last" if how == "last" else str(folder)
    assert expand_resume([f"resume={resumed}", "hydra.sweeper.n_trials=20"], outputs=tmp_path) == [
        "hparams_search=mlp",
        "data=synthetic",
        "hydra.sweeper.n_trials=20",
        f"hydra.sweep.dir='{folder}'",
    ]


@pytest.mark.parametrize(
    ("saved", "later", "expanded"),
    [
        (["x=1", "y=1"], ["x=2"], ["y=1", "x=2"]),
        (["+x=1"], ["+x=2"], ["+x=2"]),
        (["+x=1"], ["++x=2"], ["++x=2"]),
        (["++x=1", "x=2"], ["+x=3"], ["+x=3"]),
        (["+x=1"], ["x=2"], ["+x=1", "x=2"]),
        (["+x=1", "x=2"], ["x='3=4'"], ["+x=1", "x='3=4'"]),
        (["+x=1"], ["~x"], ["+x=1", "~x"]),
        (["~x"], ["~x"], ["~x"]),
        (["~x"], ["+x=1"], ["~x", "+x=1"]),
        (["+x.y=1"], ["+x=1"], ["+x.y=1", "+x=1"]),
    ],
)
def test_a_later_override_replaces_a_saved_one_that_could_not_be_repeated(
    saved: list[str], later: list[str], expanded: list[str], tmp_path: Path
) -> None:
    folder = save_search(tmp_path, "earlier", task=saved, hydra=[])
    assert expand_resume(["resume=last", *later], outputs=tmp_path) == [*expanded, f"hydra.sweep.dir='{folder}'"]


@pytest.mark.parametrize("later", ["+trainer.limit_train_batches=5", "trainer.limit_train_batches=5"])
def test_an_added_key_can_be_changed_when_a_search_is_resumed(later: str, composed: Compose, tmp_path: Path) -> None:
    save_search(tmp_path, "earlier", task=["+trainer.limit_train_batches=3"], hydra=[])
    assert composed(*expand_resume(["resume=last", later], outputs=tmp_path)).trainer.limit_train_batches == 5


@pytest.mark.parametrize("content", [None, '{"a": 1}', "[1]", "["])
def test_a_folder_without_a_search_is_rejected(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / COMMAND).write_text(content)
    with pytest.raises(ConfigError, match="not the folder of a search"):
        expand_resume([f"resume={tmp_path}"], outputs=tmp_path)


def test_resume_last_without_any_search_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no search below"):
        expand_resume(["resume=last"], outputs=tmp_path)


def test_aliases_become_settings_of_the_sweeper() -> None:
    given = ["preflight=true", "allow_changes=[seed]", "fork=a/b", "seed=1", "hydra.sweeper.n_trials=3"]
    assert expand_aliases(given) == [*(f"hydra.sweeper.{alias}" for alias in given[:3]), *given[3:]]
