"""A search whose trials wait and report: python benchmarks/waiting.py -m workers=2 hydra.sweeper.n_trials=20.

What such a search takes beyond the waiting is the cost of everything around a trial.
"""

import sys
import time
from pathlib import Path

import hydra
from omegaconf import DictConfig

from lightsweep.cli.app import run_app
from lightsweep.trial.context import current_trial

CONF = Path(__file__).resolve().parents[1] / "conf"


@hydra.main(config_path="scaling_conf", config_name="waiting")
def main(cfg: DictConfig) -> float:
    """Wait between the shortest and the longest time, as `x` says, and return a value."""
    shortest = 2 * cfg.seconds / (1 + cfg.spread)
    seconds = shortest * (1 + cfg.x * (cfg.spread - 1))
    trial = current_trial(device="cpu", index=None) if cfg.n_reports else None
    for step in range(cfg.n_reports):
        time.sleep(seconds / cfg.n_reports)
        assert trial is not None
        trial.report(cfg.y * step, step)
    if not cfg.n_reports:
        time.sleep(seconds)
    return float(cfg.y)


if __name__ == "__main__":
    sys.argv.append(f"hydra.searchpath=[file://{CONF}]")
    run_app(main)
