"""What was found in a table, in a few lines for its owner to check."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from lightsweep.data.table.columns import Kind
from lightsweep.data.table.labels import Table
from lightsweep.data.table.preprocessing import TablePreprocessing
from lightsweep.data.table.splitting import NAMES, NOWHERE, Parts
from lightsweep.data.target import Target
from lightsweep.errors import first_few

SHOWN = 12  # columns of a kind, or classes


def overview_of(
    tables: Sequence[Table],
    *,
    parts: Parts,
    y: npt.NDArray[Any],
    target: Target,
    preprocessing: TablePreprocessing,
    left_out: Mapping[str, str],
) -> str:
    """One line each for the rows, the target, each kind of columns, and what is not used."""
    sizes = ", ".join(f"{(parts == part).sum():,} {name}" for part, name in enumerate(NAMES))
    names = ", ".join(dict.fromkeys(table.name for table in tables))
    lines = [f"{names}: {(parts != NOWHERE).sum():,} rows ({sizes}), {preprocessing.d_in} features"]
    lines.append(f"  target    {_of_target(target, y[parts != NOWHERE])}")
    lines += _of_kinds(tables, preprocessing)
    for reason in dict.fromkeys(left_out.values()):
        lines.append(
            f"  left out  {first_few([name for name, of_it in left_out.items() if of_it == reason])}: {reason}"
        )
    if n_dropped := int((parts == NOWHERE).sum()):
        lines.append(f"  dropped   {n_dropped:,} rows whose target is missing")
    return "\n".join(lines)


def _of_target(target: Target, y: npt.NDArray[Any]) -> str:
    if target.task.is_regression:
        ranges = zip(target.names, y.min(axis=0), y.max(axis=0), strict=True)
        return f"{target.task}: {_listed([f'{name} {low:.4g} to {high:.4g}' for name, low, high in ranges])}"
    counts = Counter(y.tolist())
    shares = [f"{name} {counts[label] / len(y):.0%}" for label, name in enumerate(target.classes)]
    return f"{target.names[0]}, {target.task}: {_listed(shares)}"


def _of_kinds(tables: Sequence[Table], preprocessing: TablePreprocessing) -> Iterator[str]:
    for kind in Kind:
        if names := preprocessing.columns.named(kind):
            more = f" ({len(names)} in all)" if len(names) > SHOWN else ""
            yield f"  {kind:<10}{_listed([name + _missing(tables, name) for name in names[:SHOWN]])}{more}"


def _missing(tables: Sequence[Table], name: str) -> str:
    """The share of all tables."""
    n_missing = sum(table.cells(name).null_count for table in tables)
    n_rows = sum(len(table.frame) for table in tables)
    return f" ({max(n_missing / n_rows, 0.001):.1%} missing)" if n_missing else ""


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:SHOWN]) + (", ..." if len(parts) > SHOWN else "")
