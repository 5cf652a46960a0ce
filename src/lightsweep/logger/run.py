"""What a tracker is told of the running job: its name, its search and its hyperparameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lightsweep.config.fingerprint import is_harmless
from lightsweep.trial.context import current_study, folder_of_search
from lightsweep.trial.params import params_of


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training as a tracker shows it.

    `about` names its study, its trial and its job, `group` and `search` are the name and the folder of its search; all
    are empty outside a search. A trial that was interrupted is run again in the same folder.
    """

    name: str
    folder: Path
    hyperparameters: dict[str, Any]
    about: dict[str, str]
    group: str | None = None
    search: Path | None = None

    @property
    def is_trial(self) -> bool:
        return self.about.get("job") == "trial"

    @classmethod
    def of_job(cls, cfg: DictConfig) -> "Run":
        """Describe the running Hydra job. The searched hyperparameters come first, then `about`, then the others."""
        folder = Path(HydraConfig.get().runtime.output_dir).absolute()
        plain: Any = OmegaConf.to_container(cfg, resolve=True)
        settings = {name: value for name, value in flat(plain).items() if not is_harmless(name)}
        study, search = current_study(), folder_of_search()
        if study is None or search is None:
            return cls(name="-".join(folder.parts[-2:]), folder=folder, hyperparameters=settings, about={})
        trial = study.get_trials(deepcopy=False)[HydraConfig.get().job.num]
        searched = {name.lstrip("+"): value for name, value in params_of(trial).items()}
        about = {"study": study.study_name, "trial": str(trial.number), "job": "refit" if cfg.refit else "trial"}
        return cls(
            name=f"{study.study_name}-{'best' if cfg.refit else trial.number}",
            folder=folder,
            hyperparameters={**searched, **about, **settings, **about},
            about=about,
            group=f"{study.study_name}-{search.name}",
            search=search.absolute(),
        )


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested mappings by their path, such as `model.n_layers`; a list is one value."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        result |= flat(value, f"{path}.") if isinstance(value, Mapping) and value else {path: value}
    return result
