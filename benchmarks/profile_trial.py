"""Where the time of a search goes, by function: python benchmarks/profile_trial.py [n_trials=50] [overrides ...]

Prints the functions of Lightsweep, Hydra, Optuna, Lightning and torch in which most time passes, what they call
included, and saves all of it to read with `python -m pstats`. The search is `hparams_search=mlp`; whatever else is
said goes to its command line. The profiler makes each call slower: compare shares, not seconds.
"""

import cProfile
import pstats
import runpy
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN = r"lightsweep|hydra|optuna|omegaconf|pytorch_lightning|torch/optim"
N_SHOWN = 60


def main() -> None:
    overrides = [f"hydra.sweeper.{a}" if a.startswith("n_trials=") else a for a in sys.argv[1:]]
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder:
        train = str(ROOT / "train.py")
        sys.argv = [train, "-m", "hparams_search=mlp", f"hydra.sweep.dir={folder}/search", *overrides]
        profile.runcall(runpy.run_path, train, run_name="__main__")
    kept = Path(tempfile.gettempdir()) / "lightsweep.prof"
    profile.dump_stats(kept)
    pstats.Stats(profile).sort_stats("cumulative").print_stats(SHOWN, N_SHOWN)
    print(f"python -m pstats {kept}")


if __name__ == "__main__":
    main()
