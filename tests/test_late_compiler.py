"""torch's compiler is imported where something is compiled, and then is what it always was."""

import subprocess
import sys

import pytest

LATE = """
import sys
import lightsweep.lightning
import torch
from lightsweep.late_compiler import DYNAMO, INDUCTOR, is_late
"""
TRAIN = """
torch.use_deterministic_algorithms(True)
model = torch.nn.Linear(3, 2)
optimizer = torch.optim.Adam(model.parameters(), fused=True)
def step():
    optimizer.zero_grad()
    model(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    return model.weight.detach().clone()
step()
assert is_late(DYNAMO) and is_late(INDUCTOR) and not {"sympy", "torch._dynamo.eval_frame"} & {*sys.modules}
"""
THERE = """
import torch._dynamo.eval_frame, torch._inductor.config
assert not is_late(DYNAMO) and "OptimizedModule" in torch._dynamo.__all__
assert torch._dynamo.eval_frame is sys.modules["torch._dynamo.eval_frame"] and torch._dynamo is sys.modules[DYNAMO]
assert torch._dynamo.OptimizedModule is torch._dynamo.eval_frame.OptimizedModule
assert torch._dynamo.disable is torch._dynamo.decorators.disable
"""


def check(code: str) -> None:
    subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", code], check=True)


def test_training_does_without_the_compiler() -> None:
    check(LATE + TRAIN)


@pytest.mark.parametrize(
    "asked",
    [
        "torch._dynamo.reset()",
        "import torch._dynamo.eval_frame",
        "from torch._dynamo.utils import counters",
        "torch._dynamo.disable(recursive=False)",
    ],
)
def test_whoever_asks_for_the_compiler_has_all_of_it(asked: str) -> None:
    check(LATE + asked + THERE)


def test_settings_of_before_hold_once_it_is_there() -> None:
    check(
        LATE
        + TRAIN
        + "import torch._inductor.utils\n"
        + "assert not is_late(INDUCTOR) and torch._inductor.config.deterministic\n"
        + "assert torch._inductor.config is sys.modules['torch._inductor.config']\n"
    )


def test_a_setting_of_before_is_kept_when_another_is_read() -> None:
    check(
        LATE
        + """
import torch._inductor.config as config
torch.use_deterministic_algorithms(True)
assert config.deterministic and "implicit_fallbacks" not in vars(config)
try:
    config.max_autotune_gem = True
    raise SystemExit("it is no setting")
except AttributeError:
    pass
config.max_autotune = True
assert config.implicit_fallbacks and config.max_autotune and config.deterministic
with config.patch(max_autotune=False):
    assert not torch._inductor.config.max_autotune
assert config is torch._inductor.config and config.max_autotune and is_late(INDUCTOR)
"""
    )


@pytest.mark.parametrize("module", ["torch._dynamo.config", "torch._inductor.config", "torch._dynamo.eval_frame"])
def test_a_module_of_it_can_be_what_is_imported_first(module: str) -> None:
    check(
        LATE
        + f"import {module} as there\nassert there is sys.modules['{module}'] and there.__spec__.name == '{module}'"
    )


def test_what_was_used_before_compiles_as_if_nothing_had_been() -> None:
    check(
        LATE
        + TRAIN
        + """
from lightning_fabric.wrappers import OptimizedModule
seen = []
@torch.compiler.disable
def kept_out():
    seen.append(torch.compiler.is_compiling())
assert not isinstance(model, OptimizedModule) and kept_out() is None
compiled = torch.compile(model, backend="eager")
assert isinstance(compiled, OptimizedModule) and not isinstance(model, OptimizedModule)
x = torch.ones(4, 3)
assert torch.equal(compiled(x), model(x))
def broken_up_by(call):
    def function(x):
        y = x * 2
        call()
        return y + 1
    return torch._dynamo.explain(function)(torch.ones(2)).graph_break_count
assert broken_up_by(kept_out) == broken_up_by(optimizer.step) == 1 and broken_up_by(dict) == 0
assert seen == [False, False]
"""
    )


def test_a_compiler_that_is_there_already_stays() -> None:
    check("import torch._dynamo as there\n" + LATE + "assert torch._dynamo is there and not is_late(DYNAMO)")
