"""Fixtures of several test files."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

CONF = Path(__file__).parents[1] / "conf"
Compose = Callable[..., DictConfig]
Command = Callable[..., str]


@pytest.fixture(scope="session")
def composed() -> Compose:
    """A function that composes the shipped config, `hydra` included. The result is cached: don't change it."""

    @cache
    def compose_with(*overrides: str) -> DictConfig:
        with initialize_config_dir(config_dir=str(CONF)):
            return compose("train", overrides=list(overrides), return_hydra_config=True)

    return compose_with


@pytest.fixture
def quiet_trainer() -> dict[str, Any]:
    """Arguments of a trainer on the CPU without files and output."""
    from lightsweep.training.fit import set_up_process

    set_up_process(threads=1, verbose=False)  # pytest restores the warning filters after each test
    return {
        "accelerator": "cpu",
        "devices": 1,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str, Callable[[], None]], Command]:
    """Return a function of a command's name and its `main`, which returns a function that runs it in `tmp_path`.

    That one returns the output, or with `error=True` the error.
    """

    def command_of(name: str, main: Callable[[], None]) -> Command:
        def run(*arguments: str | Path, error: bool = False) -> str:
            monkeypatch.chdir(tmp_path)
            monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
            if error:
                with pytest.raises(SystemExit) as exit_code:
                    main()
                assert exit_code.value.code == 1
            else:
                main()
            output = capsys.readouterr()
            assert (output.out, output.err)[not error] == ""
            return (output.out, output.err)[error]

        return run

    return command_of
