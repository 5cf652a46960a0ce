"""A warning of levels that training has not seen. It imports no library, because a command waits for it."""

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class UnseenLevels(UserWarning):
    """Counts the cells of a column whose level training has not seen; `known` is a level that it has."""

    def __init__(self, column: str, *, known: str) -> None:
        self.column = column
        self.known = known
        self.n_unseen = 0
        self.n_cells = 0
        self.example = ""

    def count(self, cells: "pd.Series[str]", *, known: Collection[str]) -> None:
        """Add cells, none of which is missing."""
        counts = cells.value_counts()
        unseen = counts[~counts.index.isin([*known])]
        self.n_cells += int(counts.sum())
        self.n_unseen += int(unseen.sum())
        if len(unseen):
            self.example = self.example or str(unseen.index[0])

    def add(self, other: "UnseenLevels") -> None:
        """Add what another batch of rows has counted."""
        self.n_cells += other.n_cells
        self.n_unseen += other.n_unseen
        self.example = self.example or other.example

    def __str__(self) -> str:
        return (
            f"{self.n_unseen:,} of {self.n_cells:,} cells of the column '{self.column}' are levels that training has"
            f" not seen, such as {self.example!r}; they count as unknown. Training had levels such as {self.known!r}."
        )
