"""Neither SciPy's statistics nor what tables need is imported to train on the digits, and SciPy is left as it is."""

import subprocess
import sys

CHECK = """
import sys
from lightsweep.lightning import L
assert "scipy.signal" not in sys.modules and "scipy.stats" not in sys.modules
import pytorch_lightning, scipy, torchmetrics
assert L is pytorch_lightning
from lightsweep.data.digits import Digits
Digits(batch_size=8, shuffle=True, seed=0, refit=False).splits
assert not {"sklearn", "scipy.stats", "pandas", "pyarrow", "skops"} & {*sys.modules}
assert scipy.signal.windows.hann(3)[1] == 1
import scipy.signal
assert scipy.signal is sys.modules["scipy.signal"] and scipy.signal.__file__
"""


def test_scipy_signal_is_neither_loaded_nor_lost() -> None:
    subprocess.run([sys.executable, "-c", CHECK], check=True)


def test_what_is_there_already_stays() -> None:
    check = "from scipy import signal; import lightsweep.lightning; assert sys.modules['scipy.signal'] is signal"
    subprocess.run([sys.executable, "-c", f"import sys; {check}"], check=True)
