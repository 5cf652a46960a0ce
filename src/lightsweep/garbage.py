"""What a process spends on memory that it will never need: as little as may be.

What is frozen is never looked through for garbage, which takes Python half a second when a process ends that has
imported torch. Nor is it finalized then: a file that was left open is not written to its end. So the libraries are
frozen, but only as long as there is nothing else: no module of the user's own.
"""

import atexit
import ctypes
import gc
import sys
import sysconfig
import time
from functools import lru_cache
from pathlib import Path
from types import ModuleType

# New objects before Python looks; its own number is 700.
N_OF_LIBRARIES = 500_000  # twice as many as all that is imported here leaves, and none of them is garbage
N_IN_TRAINING = 50_000
SHARE_OF_FULL_SEARCHES = 0.02  # of the time: of a study there is ever more to look through, and none of it is garbage

INSTALLED = ("site-packages", "dist-packages")
LIBRARIES = (str(Path(__file__).parent), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))

_next_full_search_s = 0.0
_n_aged = 0  # at the end of the last training, see `_times_aged`


def collect_seldom() -> None:
    """Let Python look when many objects are new, and not at the libraries: to be called before all else."""
    _spare_the_libraries()
    gc.set_threshold(N_OF_LIBRARIES, *gc.get_threshold()[1:])
    atexit.register(_leave)  # the first that is registered is the last that is called


@lru_cache(maxsize=1)  # once per process
def begin_training() -> None:
    """Look more often, and not at what was imported for the first training: 0.1 s each time.

    That keeps the frames that an import has left behind, and so what the callers of the import hold.
    """
    _spare_the_libraries()
    if gc.get_threshold()[0] == N_OF_LIBRARIES:
        gc.set_threshold(N_IN_TRAINING, *gc.get_threshold()[1:])


def free_memory() -> None:
    """Let go of what a finished training left in cycles: trainer, model and loaders refer to each other.

    What was there before is looked through only now and then, or if something of the training may be among it by now.
    """
    global _next_full_search_s, _n_aged
    begun = time.monotonic()
    if begun < _next_full_search_s and _times_aged() == _n_aged:
        gc.collect(1)
    else:
        gc.collect()
        if not _next_full_search_s:
            _spare_the_libraries()  # and what was imported in the first training
        done = time.monotonic()
        _next_full_search_s = done + (done - begun) / SHARE_OF_FULL_SEARCHES
    _n_aged = _times_aged()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _spare_the_libraries() -> None:
    if not any(map(_is_own, sys.modules.copy().items())):
        gc.freeze()


def _is_own(entry: tuple[str, ModuleType]) -> bool:
    name, module = entry
    file = getattr(module, "__file__", None)
    if name in ("__main__", "__mp_main__") or not isinstance(file, str):
        return False
    if not Path(file).is_absolute():  # some of torch's are of no file and have the name of one
        return False
    return not file.startswith(LIBRARIES) and not any(folder in file for folder in INSTALLED)


def _times_aged() -> int:
    """How often objects came to the oldest generation."""
    return sum(int(generation["collections"]) for generation in gc.get_stats()[1:])


def _leave() -> None:
    """Let the process end when Python has ended: to take its tables apart torch needs 0.06 s, and nobody needs that."""
    _spare_the_libraries()
    libc = ctypes.CDLL(None)
    if "torch" in sys.modules and hasattr(libc, "on_exit"):  # of glibc
        libc.fflush(None)
        libc.on_exit(libc._exit, None)  # called with the exit code, before what was registered before it
