"""What a process looks for, and when."""

import subprocess
import sys

ENDS = """\
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 0, gc.get_count()[2]))  # comes last
from lightsweep.garbage import collect_seldom
collect_seldom()
print(gc.get_freeze_count() > 0, gc.get_threshold()[0] > 10_000, gc.isenabled())
"""


def test_it_is_looked_for_seldom_and_not_at_the_end() -> None:
    ran = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["False True True", "True 0"]
