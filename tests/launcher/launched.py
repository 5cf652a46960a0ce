"""A launcher for the task of `tasks.py`, set up as Hydra does for a sweep."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode

from lightsweep.launcher.launcher import ProcessesLauncher
from tests.launcher.tasks import task


@contextmanager
def launcher_in(folder: Path, *overrides: str) -> Iterator[ProcessesLauncher]:
    (folder / "conf").mkdir()
    (folder / "conf" / "config.yaml").write_text("do: pid\narg: null\n")
    with initialize_config_dir(config_dir=str(folder / "conf")):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        config = hydra.compose_config(
            config_name="config",
            overrides=["hydra/launcher=processes", f"hydra.sweep.dir={folder / 'jobs'}", *overrides],
            run_mode=RunMode.MULTIRUN,
            with_log_configuration=False,
        )
        HydraConfig.instance().set_config(config)
        launcher = Plugins.instance().instantiate_launcher(
            config=config,
            hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks()),
            task_function=task,
        )
        assert isinstance(launcher, ProcessesLauncher)
        try:
            yield launcher
        finally:
            launcher.abort()


def text_of(path: Path) -> str:
    """Wait until a job has written to the file, and return its content."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (path.exists() and path.read_text()):
        time.sleep(0.05)
    return path.read_text()
