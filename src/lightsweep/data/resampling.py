"""Another choice of the validation rows among those that are not test rows: by another seed, or as one of n folds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lightsweep.errors import ConfigError

Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

STREAM = 1_405_393  # keeps these draws apart from others by the same seed, such as the order of an epoch


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """With `val_seed` the validation rows are drawn again by it, with `fold` they are that one of `n_folds` folds.

    Both choose among the same rows, those that are not test rows. Neither of them: the first split, by the seed alone.
    """

    val_seed: int | None = None
    fold: int | None = None
    n_folds: int = 5

    @property
    def is_first(self) -> bool:
        return self.val_seed is None and self.fold is None

    def validation(self, labels: npt.NDArray[Any], *, fraction: float, seed: int) -> Mask:
        """Return which of the rows are for validation: `fraction` or a fold of each label."""
        rows = self._generator(seed).permutation(len(labels))
        if self.fold is not None:
            self._check_number_of_folds(labels)
        if self.fold is None:
            picked = cut(rows, labels, fraction)[1]
        else:
            picked = rows[np.argsort(labels[rows], kind="stable")][self.fold :: self.n_folds]
        return np.isin(np.arange(len(labels)), picked)

    def _check_number_of_folds(self, labels: npt.NDArray[Any]) -> None:
        found, sizes = np.unique(labels, return_counts=True)
        if sizes.min() < self.n_folds:
            which = f" of the class {found[sizes.argmin()]}" if len(found) > 1 else ""
            raise ConfigError(
                f"data.n_folds is {self.n_folds}, but only {sizes.min()} rows{which} are no test rows. Set data.n_folds"
                f" to at most {max(2, sizes.min())}, or give more rows."
            )

    def validation_groups(self, groups: Rows, *, n_rows: int, seed: int) -> Mask:
        """Return which of the rows are for validation: whole groups, of about `n_rows` rows or a fold.

        Raises `ConfigError` if there are fewer groups than folds.
        """
        found, groups = np.unique(groups, return_inverse=True)
        sizes = np.bincount(groups)
        order = self._generator(seed).permutation(len(found))
        picked = np.zeros(len(found), dtype=np.bool_)
        if self.fold is None:
            picked[order] = pick_groups(sizes[order], n_rows=n_rows)
        else:
            picked[order] = self._folds_of(sizes[order]) == self.fold
        return picked[groups]

    def _folds_of(self, sizes: Rows) -> Rows:
        """Return the fold of each group: the largest first, each to the fold that has the fewest rows."""
        if len(sizes) < self.n_folds:
            raise ConfigError(
                f"data.n_folds is {self.n_folds}, but only {len(sizes)} groups are no test rows. Set data.n_folds to at"
                f" most {len(sizes)}, or give more groups."
            )
        folds, n_rows = np.empty(len(sizes), dtype=np.intp), np.zeros(self.n_folds, dtype=np.intp)
        for i in np.argsort(-sizes, kind="stable"):
            folds[i] = n_rows.argmin()
            n_rows[folds[i]] += sizes[i]
        return folds

    def _generator(self, seed: int) -> np.random.Generator:
        return np.random.default_rng([STREAM, seed, 0 if self.val_seed is None else self.val_seed + 1])


FIRST_SPLIT = Resampling()


def cut(rows: Rows, y: npt.NDArray[Any], fraction: float) -> tuple[Rows, Rows]:
    """Return the rows without and with a `fraction` of each class; scikit-learn takes a second to import."""
    n_picked = np.floor(np.arange(len(rows) + 1) * fraction + 1e-9)
    picked = np.zeros(len(rows), dtype=np.bool_)
    picked[np.argsort(y[rows], kind="stable")] = np.diff(n_picked) > 0  # evenly spread over the rows sorted by class
    return rows[~picked], rows[picked]


def pick_groups(sizes: Rows, *, n_rows: int) -> Mask:
    """Pick the groups that fit into `n_rows`, and the smallest other one if that gets closer or none fits."""
    picked = np.zeros(len(sizes), dtype=np.bool_)
    missing = n_rows
    for i, size in enumerate(sizes):
        if size <= missing:
            picked[i] = True
            missing -= size
    if missing and not picked.all():
        smallest = int(np.where(picked, sizes.max() + 1, sizes).argmin())
        picked[smallest] = not picked.any() or abs(missing - sizes[smallest]) < missing
    return picked
