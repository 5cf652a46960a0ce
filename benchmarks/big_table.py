"""The memory and the time of a training on a CSV of 5,000,000 rows x 50 columns: python benchmarks/big_table.py

Numbers, categories of few and of many levels, truths and a date, a twentieth of the cells missing. It trains twice for
one epoch: the first prepares the table, the second maps what is there. `--save` keeps the result as
benchmarks/big_table.md.
"""

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

HERE = Path(__file__).resolve().parent
GOAL_GIB = 8.0
ROWS_AT_ONCE = 100_000
N_CATEGORIES, N_TRUTHS = 6, 2  # half of the categories with many levels; one column is a date, and one the target
SAMPLE_S = 0.2


@dataclass(frozen=True)
class Measured:
    seconds: float
    peak_gib: float


def write_table(path: Path, *, n_rows: int, n_columns: int) -> None:
    writer = None
    for start in range(0, n_rows, ROWS_AT_ONCE):
        part = pa.Table.from_pandas(_rows(start, min(ROWS_AT_ONCE, n_rows - start), n_columns), preserve_index=False)
        writer = writer or pyarrow.csv.CSVWriter(str(path), part.schema)
        writer.write_table(part)
    assert writer is not None
    writer.close()


def _rows(seed: int, n: int, n_columns: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n_numbers = n_columns - N_CATEGORIES - N_TRUTHS - 2
    columns: dict[str, object] = {f"number_{i}": rng.normal(size=n).round(4) for i in range(n_numbers)}
    for i in range(N_CATEGORIES):
        columns[f"category_{i}"] = np.char.add("level ", rng.integers(0, 5 if i % 2 else 500, n).astype(str))
    columns |= {f"truth_{i}": rng.choice(["yes", "no"], n) for i in range(N_TRUTHS)}
    columns["day"] = np.datetime_as_string(np.datetime64("2020-01-01") + rng.integers(0, 1500, n))
    frame = pd.DataFrame(columns)
    target = np.where(frame["number_0"] + (frame["truth_0"] == "yes") + rng.normal(size=n) > 0.5, "a", "b")
    return frame.mask(rng.random(frame.shape) < 0.05).assign(target=target)


def train(path: Path) -> Measured:
    """One training in a process of its own, whose resident memory is looked at several times a second."""
    command = [sys.executable, str(HERE.parent / "train.py"), "data=table", f"data.path={path}", "data.target=target"]
    settings = ["trainer=cpu", "trainer.max_epochs=1", "data.batch_size=4096", "trainer.enable_progress_bar=false"]
    start = time.perf_counter()
    with subprocess.Popen([*command, *settings], cwd=path.parent, stdout=sys.stderr) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _resident_bytes(process.pid))
            time.sleep(SAMPLE_S)
    if process.returncode:
        sys.exit(f"the training ended with {process.returncode}")
    return Measured(time.perf_counter() - start, peak / 2**30)


def _resident_bytes(pid: int) -> int:
    """Of Linux's account the peak so far; mapped pages of the prepared data count, too."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return 0
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return 1024 * int(fields.get("VmHWM", "0 kB").split()[0])


def as_markdown(size: int, measured: list[Measured], *, n_rows: int, n_columns: int) -> str:
    lines = [
        "| training of one epoch | seconds | peak memory | goal | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for work, one in zip(("reads, prepares, trains", "on what is prepared"), measured, strict=True):
        reached = "reached" if one.peak_gib <= GOAL_GIB else "MISSED"
        lines.append(f"| {work} | {one.seconds:.0f} | {one.peak_gib:.2f} GiB | ≤ {GOAL_GIB:.0f} GiB | {reached} |")
    about = f"A CSV of {n_rows:,} rows x {n_columns} columns, {size / 2**30:.2f} GiB"
    return "\n".join([*lines, "", f"{about}; {os.cpu_count()} cores, {datetime.date.today().isoformat()}."]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--save", action="store_true", help="keep the result in benchmarks/big_table.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.csv"
        write_table(path, n_rows=arguments.rows, n_columns=arguments.columns)
        measured = [train(path), train(path)]
        told = as_markdown(path.stat().st_size, measured, n_rows=arguments.rows, n_columns=arguments.columns)
    if arguments.save:
        (HERE / "big_table.md").write_text(told)
    print(told)


if __name__ == "__main__":
    main()
