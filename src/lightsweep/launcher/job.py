"""Runs a job of a search as Hydra does, in a third of the time: without the copies of its config that nobody sees."""

import copy
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import hydra.utils
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import (
    JobReturn,
    JobRuntime,
    JobStatus,
    _flush_loggers,
    _log_job_error_to_file,
    _serialize_exception_chain,
    _serialize_exception_group,
    _serialize_traceback,
    configure_log,
    env_override,
    run_job,
)
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.basecontainer import BaseContainer

from lightsweep.files import yaml_of
from lightsweep.sweeper.job_config import JobConfig, origin_of

# Sections of the hydra node; the others are those of all jobs with the same groups.
OF_ONE_JOB = ("overrides", "runtime", "job", "sweep")

_texts: dict[str, tuple[str, str]] = {}  # by section of a file: the last one's content, and its YAML
_shared: dict[str, dict[str, str]] = {}  # by what a config is copied from: the YAML of each section of its hydra node


def run_search_job(*, hydra_context: HydraContext, config: DictConfig, task_function: TaskFunction) -> JobReturn:
    """Run a job of a sweep: the same working directory, files, log and `HydraConfig` as in Hydra's `run_job`.

    The return has no `cfg` and no `hydra_cfg`: the search does not look at them. Where somebody else may look at the
    config, or the job changes its directory, it is Hydra that runs it.
    """
    if hydra_context.callbacks.callbacks or config.hydra.job.chdir or not isinstance(config, JobConfig):
        return run_job(
            hydra_context=hydra_context,
            config=config,
            task_function=task_function,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    before = HydraConfig.instance().cfg
    HydraConfig.instance().cfg = _seen_through_hydra_config(config)
    try:
        with hydra.utils.execution_whitelist(hydra_context.execution_whitelist, reset=True):
            task_cfg = _set_up(config, hydra_context)
            return _run(task_cfg, config, task_function)
    finally:
        HydraConfig.instance().cfg = before


def _seen_through_hydra_config(config: DictConfig) -> Any:
    """What `HydraConfig.set_config` keeps, with the hydra node itself instead of a copy of it."""
    OmegaConf.set_readonly(config.hydra, True)
    seen = DictConfig({})
    vars(seen)["_content"]["hydra"] = config._get_node("hydra")
    return seen


def _set_up(config: DictConfig, hydra_context: HydraContext) -> DictConfig:
    """Make the job's folder, begin its log and write its config; gives the config that the task is to see."""
    output_dir = os.path.abspath(Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir))  # noqa: PTH100
    runtime, env_set = config.hydra.runtime, config.hydra.job.env_set
    with read_write(runtime), open_dict(runtime):
        runtime.output_dir = output_dir
    with read_write(env_set):
        OmegaConf.resolve(env_set)
    task_cfg = _without_hydra(config)
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    configure_log(config.hydra.job_logging, config.hydra.verbose, execution_whitelist=hydra_context.execution_whitelist)
    if config.hydra.output_subdir is not None:
        folder = Path(output_dir) / config.hydra.output_subdir
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(config_yaml(task_cfg), encoding="utf-8")
        (folder / "hydra.yaml").write_text(hydra_yaml(config), encoding="utf-8")
        (folder / "overrides.yaml").write_text(OmegaConf.to_yaml(config.hydra.overrides.task), encoding="utf-8")
    return task_cfg


def _without_hydra(config: DictConfig) -> DictConfig:
    content = vars(config)["_content"]
    hydra_node = content.pop("hydra")
    try:
        return copy.deepcopy(config)
    finally:
        content["hydra"] = hydra_node


def config_yaml(task_cfg: DictConfig) -> str:
    """The same text as `OmegaConf.to_yaml` gives; most sections are as in the job before."""
    content = _content_of(task_cfg)
    return "".join(_section_yaml(name, section) for name, section in content.items()) if content else "{}\n"


def hydra_yaml(config: DictConfig) -> str:
    """The same text as `OmegaConf.to_yaml` gives; most sections are those of all jobs with the same origin."""
    origin = origin_of(config)
    if origin in _shared:
        node = config.hydra
        now = {name: _section_yaml(name, _content_of(node._get_node(name)), within="hydra") for name in OF_ONE_JOB}
        return _joined({**_shared[origin], **now})
    sections = {name: _section_yaml(name, each, within="hydra") for name, each in _content_of(config.hydra).items()}
    if origin is not None:
        _shared[origin] = sections
    return _joined(sections)


def _joined(sections: dict[str, str]) -> str:
    return "hydra:\n" + "".join(sections.values())


def _content_of(node: Any) -> Any:
    return BaseContainer._to_content(
        node, resolve=False, throw_on_missing=False, enum_to_str=True, encode_missing_literals=True
    )


def _section_yaml(name: str, section: Any, *, within: str | None = None) -> str:
    key, seen = f"{within}.{name}", repr(section)
    former, text = _texts.get(key, ("", ""))
    if former != seen:
        content = {name: section}
        text = yaml_of({within: content}).removeprefix(f"{within}:\n") if within else yaml_of(content)
        _texts[key] = seen, text
    return text


def _run(task_cfg: DictConfig, config: DictConfig, task_function: TaskFunction) -> JobReturn:
    overrides: Any = OmegaConf.to_container(config.hydra.overrides.task)
    done = JobReturn(overrides=overrides, working_dir=str(Path.cwd()), task_name=JobRuntime.instance().get("name"))
    env_set = config.hydra.job.env_set
    try:
        with env_override(env_set) if env_set else nullcontext():
            done.return_value = task_function(task_cfg)
            done.status = JobStatus.COMPLETED
    except Exception as error:  # noqa: BLE001  (as Hydra does: it is in what is returned)
        _note_failure(done, error)
    finally:
        _flush_loggers()
    return done


def _note_failure(done: JobReturn, error: Exception) -> None:
    done.return_value = error
    done.status = JobStatus.FAILED
    done._remote_traceback = _serialize_traceback(error.__traceback__)
    done._remote_exception_chain = _serialize_exception_chain(error)
    done._remote_exception_group = _serialize_exception_group(error)
    _log_job_error_to_file()
