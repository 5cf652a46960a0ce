"""What a process leaves behind."""

import subprocess
import sys

ENDS = """\
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 0, gc.get_count()[2]))  # comes last
from lightsweep.leaving import leave_garbage
leave_garbage()
print(gc.get_freeze_count() > 0)
"""


def test_nothing_is_looked_through_at_the_end() -> None:
    ran = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True", "0"]
