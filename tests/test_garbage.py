"""What a process looks for, and when."""

import subprocess
import sys

ENDS = """\
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 0, gc.get_count()[2]))  # comes last
from lightsweep.garbage import collect_seldom, spare_the_libraries
collect_seldom()
print(gc.get_freeze_count() > 0, gc.get_threshold()[0], gc.isenabled())
spare_the_libraries()
print(gc.get_freeze_count() > 0, gc.get_threshold()[0], gc.isenabled())
gc.unfreeze()
"""


def test_it_is_looked_for_seldom_and_not_at_the_end() -> None:
    ran = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["False 500000 True", "True 50000 True", "True 0"]
