"""Delete the checkpoints that a search no longer needs."""

import bisect
import contextlib
from collections.abc import Sequence
from pathlib import Path

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from lightsweep.config.resampling import fold_folders
from lightsweep.pareto import ParetoFront
from lightsweep.trial.status import status_of, value_of


def delete_last_checkpoints(sweep_dir: Path) -> None:
    """Let waiting trials start from scratch, because their last checkpoints were trained with other settings."""
    for pattern in ("*/checkpoints/last.ckpt", "*/fold_*/checkpoints/last.ckpt", "*/fold_*/result.yaml"):
        for path in sweep_dir.glob(pattern):
            path.unlink(missing_ok=True)


class CheckpointKeeper:
    """Keeps the checkpoints of the `keep` best complete trials and deletes those of all other finished trials.

    With several objectives those of the Pareto front are kept, however many they are. Only
    `<sweep_dir>/<trial number>/checkpoints/*.ckpt` is deleted, and those of its folds; nothing if `keep` is None.
    """

    def __init__(self, sweep_dir: Path, *, keep: int | None, directions: Sequence[StudyDirection]) -> None:
        self.sweep_dir = sweep_dir
        self.keep = keep
        self.sign = -1 if directions[0] == StudyDirection.MAXIMIZE else 1
        self._front = ParetoFront(directions) if len(directions) > 1 else None
        self._best: list[tuple[float, int]] = []  # best first; of equal values the lower trial number is better

    def add(self, trial: FrozenTrial) -> None:
        """Add a finished trial. Its last checkpoint is always deleted, because it will not be resumed."""
        if self.keep is None:
            return
        self._delete(trial.number, "last.ckpt")
        self._delete(trial.number, "next.ckpt")
        if status_of(trial) != "complete":
            self._delete(trial.number, "*.ckpt")
            return
        if self._front is not None:
            for dominated in self._front.add(trial):
                self._delete(dominated.number, "*.ckpt")
            return
        bisect.insort(self._best, (self.sign * value_of(trial), trial.number))
        for _, number in self._best[self.keep :]:
            self._delete(number, "*.ckpt")
        del self._best[self.keep :]

    def _delete(self, number: int, pattern: str) -> None:
        trial = self.sweep_dir / str(number)
        for folder in (trial / "checkpoints", *(fold / "checkpoints" for fold in fold_folders(trial))):
            with contextlib.suppress(FileNotFoundError):  # another driver of the search has deleted it
                for path in folder.glob(pattern):
                    path.unlink()
            with contextlib.suppress(OSError):  # it does not exist, or holds other files
                folder.rmdir()
