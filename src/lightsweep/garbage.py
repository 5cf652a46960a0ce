"""What a process spends on memory that it will never need: as little as may be."""

import atexit
import ctypes
import gc
import sys
from functools import lru_cache

# New objects before it looks; Python's own number is 700.
N_OF_LIBRARIES = 500_000  # twice as many as all that is imported here leaves, and none of them is garbage
N_IN_TRAINING = 50_000


def collect_seldom() -> None:
    """Let Python look when many objects are new, and not at what was imported so far: to be called before all else."""
    gc.freeze()
    gc.set_threshold(N_OF_LIBRARIES, *gc.get_threshold()[1:])
    atexit.register(_leave)  # the first that is registered is the last that is called


@lru_cache(maxsize=1)  # once per process
def spare_the_libraries() -> None:
    """Let nobody look through what was imported before the first training: 0.1 s each time, and 0.5 s at the end.

    What is frozen is never found to be garbage, nor finalized at the end of the process: the user's own modules have to
    come after this. It keeps the frames that an import has left behind, and so what the callers of the import hold.
    """
    gc.freeze()
    if gc.get_threshold()[0] == N_OF_LIBRARIES:
        gc.set_threshold(N_IN_TRAINING, *gc.get_threshold()[1:])


def free_memory() -> None:
    """Let go of what a finished training left in cycles: trainer, model and loaders refer to each other."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _leave() -> None:
    """Let the process end when Python has ended: to take its tables apart torch needs 0.06 s, and nobody needs that."""
    libc = ctypes.CDLL(None)
    if "torch" in sys.modules and hasattr(libc, "on_exit"):  # of glibc
        libc.fflush(None)
        libc.on_exit(libc._exit, None)  # called with the exit code, before what was registered before it
