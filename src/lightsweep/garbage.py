"""When Python looks for objects that only refer to each other, and when it need not."""

import atexit
import gc
import sys
from functools import lru_cache

# New objects before it looks; Python's own number is 700.
N_OF_LIBRARIES = 500_000  # twice as many as all that is imported here leaves, and none of them is garbage
N_IN_TRAINING = 50_000


def collect_seldom() -> None:
    """Let Python look when many objects are new, and no more when the process ends, which frees everything anyway."""
    gc.set_threshold(N_OF_LIBRARIES, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)


@lru_cache(maxsize=1)  # once per process
def spare_the_libraries() -> None:
    """Let `free_memory` not look through everything that was imported before the first training: 0.1 s each time."""
    gc.freeze()  # with what there is to collect, which is little and takes as long to find
    if gc.get_threshold()[0] == N_OF_LIBRARIES:
        gc.set_threshold(N_IN_TRAINING, *gc.get_threshold()[1:])


@lru_cache(maxsize=1)
def _spare_what_the_first_training_imported() -> None:
    gc.freeze()


def free_memory() -> None:
    """Let go of what a finished training left in cycles: trainer, model and loaders refer to each other."""
    gc.collect()
    _spare_what_the_first_training_imported()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
