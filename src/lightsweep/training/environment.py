"""What a training ran with: versions, code, device, threads and data, in `environment.json` of its folder."""

import json
import os
import platform
import socket
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightsweep.config.code import git_commit, git_diff, versions
from lightsweep.data.tensors import TensorDataModule
from lightsweep.files import write_atomically
from lightsweep.report.formatting import printable
from lightsweep.storage.password import VARIABLE, masked_in, masked_urls, variables_of_storage
from lightsweep.trial.context import folder_of_search, in_search

ENVIRONMENT = "environment.json"
DIFF = "code.diff"
MAX_DIFF = 2**20  # characters
CONFIG_FILE = ".hydra/config.yaml"
FACTS = {"device_name": "device", "threads": "threads", "seed": "seed", "data": "data"}
CPU_INFO = Path("/proc/cpuinfo")

Environment = dict[str, Any]


@contextmanager
def recorded_environment(cfg: DictConfig, *, trainer: L.Trainer, data: Any) -> Iterator[None]:
    """Write the environment of the training in the block, and in the end its time; nothing of a dry run."""
    if trainer.fast_dev_run or not trainer.is_global_zero:  # type: ignore[attr-defined]
        yield
        return
    folder = Path(HydraConfig.get().runtime.output_dir)
    record = _environment(cfg, device=trainer.strategy.root_device, data=data, folder=folder)
    _write(folder, record)
    try:
        yield
    finally:
        with suppress(OSError):  # a full disk, which what is in the block reports
            _write(folder, {**record, "ended": _now()})


def read_environment(folder: Path) -> Environment | None:
    """Return what was recorded, None if there is no such file, or a damaged one."""
    try:
        record = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def config_checksum(folder: Path) -> str | None:
    """Return the checksum of the config that Hydra wrote into the folder, None if there is no such file."""
    try:
        return f"{zlib.crc32((folder / CONFIG_FILE).read_bytes()):08x}"
    except OSError:
        return None


def _environment(cfg: DictConfig, *, device: torch.device, data: Any, folder: Path) -> Environment:
    return {
        "started": _now(),
        "ended": None,
        "host": socket.gethostname(),
        "versions": versions(),
        "device": device.type,
        "device_name": _device_name(device),
        "threads": torch.get_num_threads(),
        "seed": cfg.seed,
        "config": config_checksum(folder),
        "data": data.splits.digest if isinstance(data, TensorDataModule) else None,
        **_code(_code_folder(), diff=(folder_of_search() or folder) / DIFF),
    }


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    write_atomically(folder / ENVIRONMENT, json.dumps(record, indent=1), durable=not in_search())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()


@lru_cache(maxsize=1)
def _cpu_name() -> str:
    """Return the processor and the instructions that torch uses of it, on which sums of floats depend."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def _code_folder() -> Path:
    """Return the folder of `train.py`'s config, which is in the repository of its code, also for a worker."""
    sources = HydraConfig.get().runtime.config_sources
    return Path(next((source.path for source in sources if source.provider == "main"), "."))


@lru_cache(maxsize=8)  # git is asked once per search and process, because each call takes milliseconds
def _code(folder: Path, *, diff: Path) -> dict[str, str | None]:
    """Return the commit, and a checksum of the changes since, which are written to `diff`."""
    commit, changes = git_commit(folder), git_diff(folder)
    if changes:
        write_atomically(diff, _masked(changes)[:MAX_DIFF], durable=False)
    return {"commit": commit, "changes": f"{zlib.crc32(changes.encode()):08x}" if changes else None}


def _masked(text: str) -> str:
    """Return the text without the passwords of this search's storage, and of other URLs."""
    config: Any = HydraConfig.instance().cfg
    for url in (os.environ.get(VARIABLE, ""), *variables_of_storage(config).values()):
        text = masked_in(text, url)
    return masked_urls(text)


def facts_of(environment: Environment | None) -> dict[str, str]:
    """Return what a result may depend on, by name; nothing if nothing was recorded."""
    if environment is None:
        return {}
    versions_then = environment.get("versions")
    facts = dict(versions_then) if isinstance(versions_then, Mapping) else {}
    facts |= {name: environment[key] for key, name in FACTS.items() if environment.get(key) is not None}
    if "commit" in environment:
        facts["code"] = _code_in_words(environment)
    return {str(name): printable(value) for name, value in facts.items()}


def _code_in_words(environment: Environment) -> str:
    commit, changes = environment["commit"], environment.get("changes")
    if commit is None:
        return "outside of a git repository"
    return f"commit {str(commit)[:10]}{f' with changes {changes}' if changes else ''}"
