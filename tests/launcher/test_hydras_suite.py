"""Hydra's own test suites for launchers."""

import pytest
from hydra.core.plugins import Plugins
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, LauncherTestSuite

Plugins.instance()  # the suites restore the config store after each test, so the plugins must be registered before


@pytest.mark.parametrize(("launcher_name", "overrides"), [("processes", ["hydra.launcher.n_jobs=2"])])
class TestProcessesLauncher(LauncherTestSuite):
    pass


@pytest.mark.parametrize(("launcher_name", "overrides"), [("processes", ["hydra.sweeper.max_batch_size=2"])])
class TestProcessesLauncherInBatches(BatchedSweeperTestSuite):
    pass
