"""The layers of the package: an import goes to the same package or to a layer below, and never round in a circle."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "lightsweep"

# From the top to the bottom; CONTRIBUTING.md says what each is for. A module stands before its package where it is in
# another layer than the package is.
LAYERS = (
    ("cli", "predict", "status", "reproduce", "compare", "report.__main__"),
    ("sweeper",),
    ("preflight",),
    ("opened",),
    ("search",),
    ("launcher",),
    ("training",),
    ("export",),
    ("report",),
    ("callbacks", "logger", "trainer"),
    ("model",),
    ("data",),
    ("pruners",),
    ("trial",),
    ("storage",),
    ("sweeper.config", "launcher.config"),
    ("config",),
    ("failures", "interrupt", "unofficial", "pareto"),
    ("errors", "files", "task", "direction"),
)
DEPTH = {name: depth for depth, layer in enumerate(LAYERS) for name in layer}
MAX_MODULES = 12
MAX_LINES = 350


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


MODULES = {
    module_of(path): path for path in sorted(SOURCE.rglob("*.py")) if path.parent != SOURCE or path.stem != "__init__"
}


def imports_of(path: Path) -> Iterator[str]:
    """The modules of the package that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.level or node.module == "lightsweep"):
            raise AssertionError(f"{path}, line {node.lineno}: import from the module by its full name")
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "lightsweep":
            module = str(node.module).partition(".")[2]
            inner = [".".join(filter(None, (module, alias.name))) for alias in node.names]
            yield from (name if name in MODULES else module for name in inner)
        elif isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("lightsweep.") for alias in node.names if "lightsweep." in alias.name)


def layer_of(module: str) -> str:
    return module if module in DEPTH else module.partition(".")[0]


GRAPH = {module: {name for name in imports_of(path) if name in MODULES} for module, path in MODULES.items()}


def test_packages_import_nothing_so_that_a_module_has_its_own_imports_alone() -> None:
    assert [name for name, path in MODULES.items() if path.stem == "__init__" and GRAPH[name]] == []


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    here = layer_of(module)
    upward = [to for to in GRAPH[module] if layer_of(to) != here and DEPTH[layer_of(to)] <= DEPTH[here]]
    assert upward == []


def test_no_import_goes_round_in_a_circle() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(f"these modules import each other: {' -> '.join(error.args[1])}")


def test_no_package_or_module_is_larger_than_a_reader_can_hold() -> None:
    packages = {path.parent for path in MODULES.values()}
    large = [p.name for p in packages if len([m for m in p.glob("*.py") if m.stem != "__init__"]) > MAX_MODULES]
    long = [name for name, path in MODULES.items() if len(path.read_text(encoding="utf-8").splitlines()) > MAX_LINES]
    assert large == []
    assert long == []
