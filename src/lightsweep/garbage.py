"""What a process spends on memory that it will never need: as little as may be.

What is frozen is never looked through for garbage, which takes Python half a second when a process ends that has
imported torch. Nor is it finalized then: a file that was left open is not written to its end. So the libraries are
frozen, and what the user's own modules hold is not.
"""

import atexit
import ctypes
import gc
import sys
from functools import lru_cache

# New objects before Python looks; its own number is 700.
N_OF_LIBRARIES = 500_000  # twice as many as all that is imported here leaves, and none of them is garbage
N_IN_TRAINING = 50_000

_own_code_is_there = False


def collect_seldom() -> None:
    """Let Python look when many objects are new, and not at the libraries: to be called before all else."""
    gc.freeze()
    gc.set_threshold(N_OF_LIBRARIES, *gc.get_threshold()[1:])
    atexit.register(_leave)  # the first that is registered is the last that is called


def own_code_follows() -> None:
    """To be called before a module is imported that is none of a library."""
    global _own_code_is_there
    _spare_the_libraries()
    _own_code_is_there = True


@lru_cache(maxsize=1)  # once per process
def begin_training() -> None:
    """Look more often, and not at what was imported for the first training: 0.1 s each time.

    That keeps the frames that an import has left behind, and so what the callers of the import hold.
    """
    _spare_the_libraries()
    if gc.get_threshold()[0] == N_OF_LIBRARIES:
        gc.set_threshold(N_IN_TRAINING, *gc.get_threshold()[1:])


def free_memory() -> None:
    """Let go of what a finished training left in cycles: trainer, model and loaders refer to each other."""
    gc.collect()
    _spare_what_the_first_training_imported()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _spare_the_libraries() -> None:
    if not _own_code_is_there:
        gc.freeze()


@lru_cache(maxsize=1)
def _spare_what_the_first_training_imported() -> None:
    _spare_the_libraries()


def _leave() -> None:
    """Let the process end when Python has ended: to take its tables apart torch needs 0.06 s, and nobody needs that."""
    _spare_the_libraries()
    libc = ctypes.CDLL(None)
    if "torch" in sys.modules and hasattr(libc, "on_exit"):  # of glibc
        libc.fflush(None)
        libc.on_exit(libc._exit, None)  # called with the exit code, before what was registered before it
