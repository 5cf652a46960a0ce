"""The order in which a training ends."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from lightsweep.training import train as module
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.time_limit import check_time, limit_time

CFG = OmegaConf.create(
    {"monitor": "val/acc", "threads": None, "verbose": False, "refit": False, "trainer": {"max_epochs": 1}}
)


@pytest.mark.parametrize(
    ("result", "calls"),
    [
        (Outcome(value=0.5), ["saved", "complete"]),
        (Outcome(value=0.5, pruned="too low"), ["saved", "pruned"]),
        (RuntimeError("it broke"), ["failed"]),
        (KeyboardInterrupt(), ["interrupted"]),
    ],
)
def test_trackers_end_after_the_outcome_is_saved_and_the_time_limit_lifted(
    result: Any, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def train(*_: Any) -> Outcome:
        if isinstance(result, BaseException):
            raise result
        return result  # type: ignore[no-any-return]

    def end(_: Any, outcome: Outcome) -> None:
        check_time()
        seen.append(outcome.status)

    monkeypatch.setattr(module, "set_up_process", lambda **_: limit_time(-1))
    monkeypatch.setattr(module, "start_loggers", lambda *_: [])
    monkeypatch.setattr(module, "_train", train)
    monkeypatch.setattr(module, "end_trackers", end)
    monkeypatch.setattr(module, "save_outcome", lambda outcome: seen.append("saved") or outcome)
    if isinstance(result, BaseException):
        with pytest.raises(type(result)):
            module.train(CFG)
    else:
        assert module.train(CFG) is result
    assert seen == calls


def test_trackers_end_if_the_outcome_can_not_be_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    def save(_: Outcome) -> Outcome:
        raise OSError("no space")

    ended: list[Outcome] = []
    monkeypatch.setattr(module, "set_up_process", lambda **_: None)
    monkeypatch.setattr(module, "start_loggers", lambda *_: [])
    monkeypatch.setattr(module, "_train", lambda *_: Outcome(value=0.5))
    monkeypatch.setattr(module, "end_trackers", lambda _, outcome: ended.append(outcome))
    monkeypatch.setattr(module, "save_outcome", save)
    with pytest.raises(OSError, match="no space"):
        module.train(CFG)
    assert ended == [Outcome(value=0.5)]
