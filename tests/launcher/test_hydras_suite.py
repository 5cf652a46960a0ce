"""What Hydra asks of every launcher."""

import pytest
from hydra.core.plugins import Plugins
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, LauncherTestSuite

Plugins.instance()  # the suites put back the configs that are stored before a test: the plugins' must be among them


@pytest.mark.parametrize(("launcher_name", "overrides"), [("processes", ["hydra.launcher.n_jobs=2"])])
class TestProcessesLauncher(LauncherTestSuite):
    pass


@pytest.mark.parametrize(("launcher_name", "overrides"), [("processes", ["hydra.sweeper.max_batch_size=2"])])
class TestProcessesLauncherInBatches(BatchedSweeperTestSuite):
    pass
