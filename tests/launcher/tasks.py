"""The task function of the launcher tests. The override `do` selects what a job does."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig


def task(cfg: DictConfig) -> Any:
    match cfg.do:
        case "pid":
            return os.getpid()
        case "wait":
            time.sleep(cfg.arg)
            return cfg.arg
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "leave":
            os._exit(3)
        case "exit":
            sys.exit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "raise":
            raise ValueError("this does not work")
        case "unpicklable":
            return threading.Lock()
        case "unreadable":
            return Unreadable()
        case "threads":
            return os.environ["OMP_NUM_THREADS"]
        case "gpu":
            time.sleep(cfg.arg)
            return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]
        case "sigint":
            os.kill(os.getpid(), signal.SIGINT)
            return "alive"
        case "fork_and_die":
            if child := os.fork():
                Path(cfg.arg).write_text(str(child))
                os._exit(4)
            time.sleep(60)
        case "sleep" | "nap":
            Path(cfg.arg).write_text(str(os.getpid()))
            time.sleep(60 if cfg.do == "sleep" else 3)
    return None


class Unreadable:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return (int, ("not a number",))
