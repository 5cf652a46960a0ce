"""When Python looks for objects that only refer to each other: seldom, for it takes a tenth of the time of a search."""

import atexit
import gc

N_NEW_OBJECTS = 50_000  # before it looks; Python's own number is 700, which is reached dozens of times by an import


def collect_seldom() -> None:
    """Let Python look when many objects are new, and no more when the process ends, which frees everything anyway."""
    gc.set_threshold(N_NEW_OBJECTS, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)
