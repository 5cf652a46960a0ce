"""The end of a process, a third of a second earlier."""

import atexit
import gc


def leave_garbage() -> None:
    """Let Python not look for cycles among all that was imported when the process ends, which frees it anyway."""
    atexit.register(gc.freeze)
