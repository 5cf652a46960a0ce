"""One Ray session for a whole search; imported only for `hydra/launcher=ray`.

The plugin starts Ray in the first `launch`, if it is not running. Here several threads launch at once: each would start
a Ray of its own, and Ray's processes end with the thread that started them, before the best trial is refitted.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import ray
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf

from lightsweep.errors import ConfigError
from lightsweep.failures import in_one_line
from lightsweep.interrupt import Interrupted, handled_by
from lightsweep.sweeper.config import DRIVER


@contextmanager
def ray_session(launcher: Launcher) -> Iterator[None]:
    """Start Ray as `hydra.launcher.ray.init` says, or connect to its cluster; end that after the block.

    Call it in the main thread. Raise `Interrupted` on a signal, and `ConfigError` if Ray does not start.
    """
    if ray.is_initialized():  # by the caller, who ends it
        yield
        return
    try:
        _init(cast(dict[str, Any], OmegaConf.to_container(cast(Any, launcher).ray_cfg.init, resolve=True)))
        yield
    finally:
        end_ray_session()


def end_ray_session() -> None:
    """End the session and its jobs; every running `launch` raises. A cluster of others runs on."""
    ray.shutdown()


def _init(settings: dict[str, Any]) -> None:
    """Start Ray. A first signal waits for the end of it, because a half-started Ray leaves processes behind."""
    signalled: list[int] = []

    def interrupt(signum: int, _: object) -> None:
        signalled.append(signum)
        if len(signalled) > 1:
            raise Interrupted(signum)

    try:
        with handled_by(interrupt):
            ray.init(**_with_driver(settings))
    except SystemExit:  # from the handler of SIGTERM that Ray sets
        raise Interrupted(signal.SIGTERM) from None
    except Exception as error:  # noqa: BLE001  (each setting has its own)
        raise ConfigError(
            f"hydra.launcher.ray.init is {settings}, with which Ray does not start: {in_one_line(error)}. Change these"
            " settings, or choose hydra/launcher=processes."
        ) from None
    if signalled:
        raise Interrupted(signalled[0])


def _with_driver(settings: dict[str, Any]) -> dict[str, Any]:
    """Add the driver to the environment of the workers, which those of a running cluster do not inherit."""
    runtime_env = settings.get("runtime_env") or {}
    variables = {**(runtime_env.get("env_vars") or {}), DRIVER: os.environ[DRIVER]}
    return {**settings, "runtime_env": {**runtime_env, "env_vars": variables}}
