"""A short overview of the columns of a table, for the user to check."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lightsweep.data.splits import Scaler
from lightsweep.data.table.columns import Kind
from lightsweep.data.table.preprocessing import TablePreprocessing
from lightsweep.data.table.source import Table
from lightsweep.data.table.splitting import SPLIT_NAMES, TRAIN, UNUSED, LabelledTable
from lightsweep.data.target import Target
from lightsweep.errors import first_few

MAX_LISTED = 12  # columns of a kind, or classes
FAR_OUTSIDE = 20.0  # robust deviations; a normal distribution has no value beyond 7


def overview_of(
    labelled: Sequence[LabelledTable],
    *,
    target: Target,
    preprocessing: TablePreprocessing,
    left_out: Mapping[str, str],
    notes: Sequence[str] = (),
) -> str:
    """Return one line each for the rows, the target, each kind of columns, what was decided, and what is not used."""
    tables = [one.table for one in labelled]
    assignment = np.concatenate([one.assignment for one in labelled])
    y = np.concatenate([one.y for one in labelled])
    used = assignment != UNUSED
    sizes = ", ".join(f"{(assignment == split).sum():,} {name}" for split, name in enumerate(SPLIT_NAMES))
    names = ", ".join(dict.fromkeys(table.name for table in tables))
    lines = [f"{names}: {used.sum():,} rows ({sizes}), {preprocessing.d_in} features"]
    lines += [f"  target    {_describe_target(target, y[used])}", *_describe_kinds(tables, preprocessing)]
    for reason in dict.fromkeys(left_out.values()):
        columns = [name for name, its_reason in left_out.items() if its_reason == reason]
        lines.append(f"  left out  {first_few(columns)}: {reason}")
    doubted = [f"{one.name}: {one.kind}, {one.why}" for one in preprocessing.columns.all if one.why]
    lines += [f"  note      {note}" for note in (*doubted[:MAX_LISTED], *notes)]
    return "\n".join(lines)


def _describe_target(target: Target, y: npt.NDArray[Any]) -> str:
    if target.task.is_regression:
        ranges = zip(target.names, y.min(axis=0), y.max(axis=0), strict=True)
        return f"{target.task}: {_listed([f'{name} {low:.4g} to {high:.4g}' for name, low, high in ranges])}"
    counts = Counter(y.tolist())
    shares = [f"{name} {counts[label] / len(y):.0%}" for label, name in enumerate(target.classes)]
    return f"{target.names[0]}, {target.task}: {_listed(shares)}"


def _describe_kinds(tables: Sequence[Table], preprocessing: TablePreprocessing) -> Iterator[str]:
    for kind in Kind:
        if names := preprocessing.columns.named(kind):
            more = f" ({len(names)} in all)" if len(names) > MAX_LISTED else ""
            listed = _listed([name + _describe_missing(tables, name) for name in names[:MAX_LISTED]])
            yield f"  {kind:<10}{listed}{more}"


def _describe_missing(tables: Sequence[Table], name: str) -> str:
    n_missing = sum(table.values(name).null_count for table in tables)
    n_rows = sum(len(table.frame) for table in tables)
    return f" ({max(n_missing / n_rows, 0.001):.1%} missing)" if n_missing else ""


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:MAX_LISTED]) + (", ..." if len(parts) > MAX_LISTED else "")


def notes_on_outliers(labelled: Sequence[LabelledTable], target: Target) -> list[str]:
    """Return a sentence for each target of a regression with values so far outside that they decide the loss."""
    if not target.task.is_regression:
        return []
    y = np.concatenate([one.y[one.assignment == TRAIN] for one in labelled])
    scaler = Scaler.robust(y)
    far = np.abs(y - scaler.mean) > FAR_OUTSIDE * scaler.std
    return [
        f"{name}: {share:.2%} of the values are far outside of the others, such as {y[outside, i][0]:.3g}, and decide"
        " the loss and rmse; mend them, or set data.target_scale=robust monitor=val/mae"
        for i, (name, outside) in enumerate(zip(target.names, far.T, strict=True))
        if (share := outside.mean()) > 0
    ]
