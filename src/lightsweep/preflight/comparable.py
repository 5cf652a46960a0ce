"""What must be the same in all trials of a search, because their values could not be compared otherwise."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


class _Reason(NamedTuple):
    text: str
    way_out: str


SEED = _Reason(
    "The best trial would be that with the luckiest seed.",
    "Fix it with {key}=<number>; to see the spread over seeds, run the search, or the best trial, once per seed.",
)
METRIC = _Reason("Values of different metrics can't be compared.", "Fix it with {key}=...; run one search per metric.")
DATA = _Reason(
    "The best trial would be that with the easiest data.", "Fix it with {key}=...; run one search per data set."
)
ROWS = _Reason(
    "The best trial would be that with the easiest validation rows or target.",
    "Fix it with {key}=...; run one search per value.",
)
BEST = _Reason("It applies to the best trial, after the search.", "Fix it with {key}=...")

REASONS: dict[str, _Reason] = {
    "seed": SEED,
    "monitor": METRIC,
    "direction": METRIC,
    "refit": _Reason("A search refits its best trial itself.", "Leave it out."),
    "export": BEST,
    "ship": BEST,
    "data": DATA,
    "data._target_": DATA,
    "data.seed": SEED,
    **dict.fromkeys(("data.path", "data.y_path", "data.name", "data.version", "data.id"), DATA),
    **dict.fromkeys(("data.n_samples", "data.n_features", "data.n_classes"), DATA),
    **dict.fromkeys(("data.val_path", "data.test_path", "data.split", "data.split_by"), ROWS),
    **dict.fromkeys(("data.val_fraction", "data.test_fraction", "trainer.limit_val_batches"), ROWS),
    **dict.fromkeys(("data.val_seed", "data.fold", "data.n_folds", "data.resampling"), ROWS),
    **dict.fromkeys(("data.target", "data.task", "data.rare_classes"), ROWS),
}
OF_ANY_DATA = ("data", "data._target_", "data.seed")  # the user's own class may give other keys another meaning
FOLLOWS = {"direction": "monitor", "data.seed": "seed"}


def compared_values(cfg: DictConfig) -> dict[str, str]:
    """Return the values of a trial's config that must be the same in all trials, as texts."""
    ours = str(OmegaConf.select(cfg, "data._target_")).startswith("lightsweep.")
    keys = [key for key in REASONS if ours or key in OF_ANY_DATA or not key.startswith("data")]
    return {key: _text_of(cfg, "hydra.runtime.choices.data" if key == "data" else key) for key in keys}


def comparison_problems(trials: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Return why the values of trials can't be compared; `trials` are their `compared_values`."""
    values = {key: list(dict.fromkeys(trial[key] for trial in trials if key in trial)) for key in REASONS}
    varied = [key for key in REASONS if len(values[key]) > 1]
    for key in varied:
        if FOLLOWS.get(key, key.rpartition(".")[0]) not in varied:
            reason = REASONS[key]
            yield f"the search varies {key}: {', '.join(values[key])}. {reason.text} {reason.way_out.format(key=key)}"


def _text_of(cfg: DictConfig, key: str) -> str:
    try:
        value = OmegaConf.select(cfg, key)
    except OmegaConfBaseException:  # `check_config` reports it
        return ""
    return "null" if value is None else str(value)
