"""torch's meta kernels are imported where something is on "meta", and then are what they always were."""

import os
import subprocess
import sys

import pytest

LATE = """
import lightsweep.torch_for_training, lightsweep.lightning
from lightsweep.late_metas import are_late
assert are_late()
"""
LOADED = """
import sys
assert not are_late() and torch._meta_registrations is sys.modules["torch._meta_registrations"]
assert torch._decomp is sys.modules["torch._decomp"] and torch._prims.sin is torch.ops.prims.sin.default
"""

TRAINING = """
import torch
import torch.nn as nn
model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 2))
optimizer = torch.optim.Adam(model.parameters(), fused=True)
nn.functional.cross_entropy(model(torch.ones(5, 3)), torch.zeros(5, dtype=torch.long)).backward()
optimizer.step()
generator = torch.Generator().manual_seed(1)
print(model.eval()(torch.zeros(2, 3)).shape, torch.rand(2, generator=generator), type(torch.Generator))
print(torch.utils.data.random_split(range(5), [2, 3], generator=generator)[0].indices)
"""

USES = {
    "a module that is filled later": """
with torch.device("meta"):
    model = torch.nn.LSTM(3, 2)
for parameter in model.to_empty(device="cpu").parameters():
    torch.nn.init.ones_(parameter)
print(model(torch.zeros(1, 1, 3)))
""",
    "an operator without a kernel in C++": """
x = torch.ones(4, 3, device="meta")
print(torch.nn.functional.layer_norm(x, (3,)), x.new_empty(3, 3).inverse())
""",
    "a tensor that is moved": "print(torch.ones(3).to('meta').cumsum(0).sort())",
    "a fake tensor": """
from torch._subclasses.fake_tensor import FakeTensorMode
with FakeTensorMode():
    print(torch.nn.functional.layer_norm(torch.ones(4, 3), (3,)))
""",
    "a traced function": """
from torch.fx.experimental.proxy_tensor import make_fx
print(make_fx(lambda x: torch.nn.functional.gelu(x).sum(), tracing_mode="symbolic")(torch.ones(3)).code)
""",
    "an export": "print(torch.export.export(torch.nn.Linear(3, 2), (torch.ones(4, 3),)).run_decompositions().graph)",
    "a derivative forward": """
print(torch.func.jvp(lambda x: torch.nn.functional.logsigmoid(x).sum(), (torch.ones(3),), (torch.ones(3),)))
""",
    "the module": "import torch._meta_registrations as metas; print(metas.activate_meta.__name__)",
    "a module that comes with it": "from torch._decomp.decompositions import gelu_backward as f; print(f.__name__)",
    "a package that comes with it": "import torch._refs as refs; print(refs.nn.functional.relu(torch.ones(2)))",
    "an attribute of torch": "print(len(torch._decomp.decomposition_table))",
    "an operator of theirs": "print(torch.ops.prims.sin(torch.ones(2)))",
    "a generator in a compiled function": """
generator = torch.Generator().manual_seed(1)
print(torch.compile(lambda x: x * 2, backend="eager")(torch.rand(2, generator=generator)), type(torch.Generator))
""",
}


def said(code: str, **env: str) -> str:
    command = [sys.executable, "-W", "error::ImportWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_training_does_without_them() -> None:
    end = "\nimport sys; assert are_late() and not {'torch._decomp', 'torch._prims', 'torch._refs'} & {*sys.modules}"
    assert said(LATE + TRAINING + end) == said(TRAINING)


@pytest.mark.parametrize("use", USES)
def test_whoever_uses_them_has_all_of_them(use: str) -> None:
    code = "import torch\n" + USES[use]
    assert said(LATE + code + LOADED) == said(code)


@pytest.mark.parametrize("target", ["collections.Counter", "{_target_: collections.OrderedDict, _recursive_: false}"])
def test_code_of_ones_own_finds_torch_as_it_always_is(target: str) -> None:
    code = """
from omegaconf import OmegaConf
from lightsweep.build import build
import hydra.utils
with hydra.utils.execution_whitelist(["collections.*", "torch.*"]):
    build(OmegaConf.create("{_target_: torch.nn.Linear, in_features: 3, out_features: 2}"))
    assert are_late()
    build(OmegaConf.create("%s"))
import torch
""" % (target if target.startswith("{") else f"{{_target_: {target}}}")
    assert said(LATE + code + LOADED) == ""


def test_a_compiler_that_is_debugged_from_the_start_has_them() -> None:
    code = "import torch\nprint(torch.ones(2, device='meta').softmax(0))"
    debug = {"TORCH_COMPILE_DEBUG": "1", "TORCH_COMPILE_DEBUG_DIR": os.devnull}
    late = said(
        "import lightsweep.torch_for_training, lightsweep.lightning\n"
        + code
        + LOADED.replace("not are_late() and ", ""),
        **debug,
    )
    assert late == said(code, **debug)


def test_a_signal_waits_until_they_are_there() -> None:
    code = """
import signal, torch
def too_late(*_):
    raise TimeoutError
signal.signal(signal.SIGALRM, too_late)
signal.setitimer(signal.ITIMER_REAL, 0.02)
try:
    torch.ones(1, device="meta")
except TimeoutError:
    print(torch.nn.functional.layer_norm(torch.ones(4, 3, device="meta"), (3,)))
assert signal.getsignal(signal.SIGALRM) is too_late
"""
    assert said(LATE + code + LOADED) == "tensor(..., device='meta', size=(4, 3))\n"


def test_what_predicts_has_torch_as_it_always_is() -> None:
    assert said("import lightsweep.predictor\nfrom lightsweep.late_metas import are_late\nassert not are_late()") == ""


def test_torch_that_is_there_already_stays_as_it_is() -> None:
    code = (
        "import torch, sys; there = torch._decomp; import lightsweep.torch_for_training; assert torch._decomp is there"
    )
    assert said(code) == ""
