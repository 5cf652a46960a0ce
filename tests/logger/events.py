"""Reads TensorBoard's event files, as its HPARAMS tab does, and the files of Weights & Biases."""

import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

BLOCK = 2**15  # bytes of a block in a file of Weights & Biases


def _events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def hyperparameters_in(folder: Path) -> dict[str, Any]:
    """Return the hyperparameters of the run in the order of the columns."""
    from tensorboard.plugins.hparams import metadata

    content = _events(folder).PluginTagToContent("hparams")
    columns = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG]).hparam_infos
    session = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
    values = {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in session.hparams.items()}
    return {column.name: values[column.name] for column in columns}


def metrics_in(folder: Path, names: Sequence[str]) -> dict[str, float]:
    """Return the last value of each metric."""
    events = _events(folder)
    return {name: events.Scalars(name)[-1].value for name in names}


def records_in(path: Path) -> Iterator[Any]:
    """Read the records of a `.wandb` file, a LevelDB log: blocks of 32 KiB with parts of records."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, record = path.read_bytes(), 7, b""  # after the header of the file
    while position + 7 <= len(content):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        record += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            yield Record.FromString(record)
            record = b""


def wandb_run_in(folder: Path) -> dict[str, Any]:
    """Return name, group, exit code, config and summary of the one run below the folder."""
    [path] = folder.rglob("*.wandb")
    run: dict[str, Any] = {"config": {}, "summary": {}}
    for record in records_in(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run |= {"id": record.run.run_id, "name": record.run.display_name, "group": record.run.run_group}
            run["config"] |= _items(record.run.config.update)
        elif kind in ("config", "summary"):
            run[kind] |= _items(getattr(record, kind).update)
        elif kind == "exit":
            run["exit_code"] = record.exit.exit_code
    return run


def _items(updates: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in updates}
