"""What a process spends on memory that it will never need: as little as may be."""

import atexit
import ctypes
import gc
import sys
from functools import lru_cache

# New objects before it looks; Python's own number is 700.
N_OF_LIBRARIES = 500_000  # twice as many as all that is imported here leaves, and none of them is garbage
N_IN_TRAINING = 50_000

_n_moved = -1  # at the end of the last training, see `free_memory`


def collect_seldom() -> None:
    """Let Python look when many objects are new, and not at what was imported so far: to be called before all else."""
    gc.freeze()
    gc.set_threshold(N_OF_LIBRARIES, *gc.get_threshold()[1:])
    atexit.register(_leave)  # the first that is registered is the last that is called


@lru_cache(maxsize=1)  # once per process
def spare_the_libraries() -> None:
    """Let nobody look through what was imported before the first training: 0.1 s each time, and 0.5 s at the end.

    What a frozen module holds is not finalized at the end of the process, so the user's own modules come after this.
    """
    gc.freeze()  # with what there is to collect, which is little and takes as long to find
    if gc.get_threshold()[0] == N_OF_LIBRARIES:
        gc.set_threshold(N_IN_TRAINING, *gc.get_threshold()[1:])


def free_memory() -> None:
    """Let go of what a finished training left in cycles: trainer, model and loaders refer to each other.

    What was there before the training is looked at only if something of the training may be among it by now.
    """
    global _n_moved
    gc.collect(1 if _n_collections() == _n_moved else 2)
    _n_moved = _n_collections()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _n_collections() -> int:
    """How often objects came to the oldest generation."""
    return sum(int(generation["collections"]) for generation in gc.get_stats()[1:])


def _leave() -> None:
    """Let the process end when Python has ended: to take its tables apart torch needs 0.06 s, and nobody needs that."""
    libc = ctypes.CDLL(None)
    if "torch" in sys.modules and hasattr(libc, "on_exit"):  # of glibc
        libc.fflush(None)
        libc.on_exit(libc._exit, None)  # called with the exit code, before what was registered before it
