"""`resume=...` turned into the command line of the earlier search."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from lightsweep.config.command_line import COMMAND, expand_aliases, expand_resume, save_command
from lightsweep.errors import ConfigError


def a_search(outputs: Path, name: str, *, task: list[str], hydra: list[str], age_s: float = 0) -> Path:
    folder = outputs / "mlp" / name
    folder.mkdir(parents=True)
    save_command(folder, config=OmegaConf.create({"hydra": {"overrides": {"task": task, "hydra": hydra}}}))
    written = (folder / COMMAND).stat().st_mtime - age_s
    os.utime(folder / COMMAND, (written, written))
    return folder


def test_a_command_line_without_resume_is_left_alone(tmp_path: Path) -> None:
    assert expand_resume(["-m", "seed=1,2"], outputs=tmp_path) == ["-m", "seed=1,2"]


@pytest.mark.parametrize("how", ["last", "folder"])
def test_resume_repeats_the_command_and_what_is_added_wins(how: str, tmp_path: Path) -> None:
    a_search(tmp_path, "older", task=["hparams_search=other"], hydra=[], age_s=60)
    task, hydra = ["hparams_search=mlp", "data=synthetic"], ["hydra.sweeper.n_trials=9", "hydra.mode=MULTIRUN"]
    folder = a_search(tmp_path, "newer", task=task, hydra=[*hydra, "hydra.sweep.dir='/elsewhere'"])
    asked = "last" if how == "last" else str(folder)
    assert expand_resume([f"resume={asked}", "hydra.sweeper.n_trials=20"], outputs=tmp_path) == [
        "hparams_search=mlp",
        "data=synthetic",
        "hydra.sweeper.n_trials=20",
        f"hydra.sweep.dir='{folder}'",
    ]


@pytest.mark.parametrize(
    ("kept", "said", "together"),
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
def test_what_is_said_again_stands_in_place_of_what_it_repeats(
    kept: list[str], said: list[str], together: list[str], tmp_path: Path
) -> None:
    folder = a_search(tmp_path, "earlier", task=kept, hydra=[])
    assert expand_resume(["resume=last", *said], outputs=tmp_path) == [*together, f"hydra.sweep.dir='{folder}'"]


@pytest.mark.parametrize("said", ["+trainer.limit_train_batches=5", "trainer.limit_train_batches=5"])
def test_what_was_added_to_the_config_can_be_said_again(
    said: str, composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    a_search(tmp_path, "earlier", task=["+trainer.limit_train_batches=3"], hydra=[])
    assert composed(*expand_resume(["resume=last", said], outputs=tmp_path)).trainer.limit_train_batches == 5


@pytest.mark.parametrize("content", [None, '{"a": 1}', "[1]", "["])
def test_a_folder_that_holds_no_search_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / COMMAND).write_text(content)
    with pytest.raises(ConfigError, match="not the folder of a search"):
        expand_resume([f"resume={tmp_path}"], outputs=tmp_path)


def test_resume_last_without_any_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no search below"):
        expand_resume(["resume=last"], outputs=tmp_path)


def test_short_words_stand_for_settings_of_the_sweeper() -> None:
    given = ["preflight=true", "allow_changes=[seed]", "fork=a/b", "seed=1", "hydra.sweeper.n_trials=3"]
    assert expand_aliases(given) == [*(f"hydra.sweeper.{word}" for word in given[:3]), *given[3:]]
