"""The folder of one real refit, which several test files read."""

from pathlib import Path

import pytest

from tests.command import Ran, succeed

N_EPOCHS = 2
SEED = 3


@pytest.fixture(scope="session")
def refit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """The folder that the real command wrote for the digits, and its output."""
    cwd = tmp_path_factory.mktemp("refit")
    arguments = ("refit=true", f"trainer.max_epochs={N_EPOCHS}", "trainer=cpu", f"seed={SEED}", "verbose=false")
    ran = succeed(*arguments, cwd=cwd)
    [folder] = cwd.glob("outputs/train/*")
    return folder, ran
