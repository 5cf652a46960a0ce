"""torch's meta kernels, imported where something is on the device "meta": they are a quarter of what torch takes.

They tell of each operator what comes out of it, without computing it. A training needs none of that. An export, the
compiler or a fake tensor makes a tensor on "meta" first, or imports what comes with them. Other code may miss something
else, so it is not asked to do without: they are imported before the user's own code is.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from lightsweep.late_modules import LateModule, places_without_text, spec_of_what_is_there

METAS = "torch._meta_registrations"
THEIRS = ("torch._decomp", "torch._prims", "torch._refs")  # which torch would have imported with them
# In the other order two of them import each other.
NEED_THEM_FIRST = tuple(f"{name}." for name in (*THEIRS, "torch.utils._content_store"))

_kernels: list[Any] = []  # the library of those that import the others


class _LateMeta(LateModule):
    def import_it(self) -> None:
        import_metas()


class _LateOperators(ModuleType):
    def __getattr__(self, name: str) -> Any:
        import_metas()
        return getattr(sys.modules["torch"].ops.prims, name)


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if not f"{fullname}.".startswith(NEED_THEM_FIRST) or not are_late():
            return None
        import_metas()
        return spec_of_what_is_there(fullname)


def import_torch_without() -> None:
    """Import torch, and let its meta kernels wait until they are used, unless it is there already."""
    found = None if "torch" in sys.modules else importlib.util.find_spec("torch")
    if found is None or sys.platform == "darwin":  # there a kernel for its GPU comes with them
        return
    specs = [PathFinder.find_spec(name, found.submodule_search_locations) for name in (METAS, *THEIRS)]
    late = {spec.name: _LateMeta(spec) for spec in specs if spec is not None}
    if len(late) < len(specs):
        return  # another torch than ours
    sys.modules[METAS] = late[METAS]
    sys.meta_path.insert(0, _Finder())
    with places_without_text():
        import torch
    if not are_late():  # something has asked for them, as TORCH_COMPILE_DEBUG does
        return
    from torch._opaque_base import OpaqueBaseMeta

    torch._C._set_generator_metaclass(OpaqueBaseMeta)  # as they do: before, `torch.Generator` can't be called
    vars(torch).update({name.rpartition(".")[2]: late[name] for name in THEIRS})
    vars(torch.ops)["prims"] = _LateOperators("torch.ops.prims")
    library: Any = torch.library.Library("aten", "IMPL", "Meta")  # type: ignore[no-untyped-call]
    for operator in (torch.ops.aten.empty.memory_format, torch.ops.aten.empty_strided.default):
        library.impl(operator, _after_the_metas(operator))  # one of them makes every first tensor on "meta"
    _kernels.append(library)


def _after_the_metas(operator: Any) -> Callable[..., Any]:
    def kernel(*args: Any, **kwargs: Any) -> Any:
        import_metas()
        return operator(*args, **kwargs)

    return kernel


def import_metas() -> None:
    """Import torch's meta kernels if they wait: as torch would have, in its order."""
    metas = sys.modules.get(METAS)
    if not isinstance(metas, LateModule):
        return
    torch = sys.modules["torch"]
    for name in THEIRS:
        vars(torch).pop(name.rpartition(".")[2], None)
    if _kernels:
        del vars(torch.ops)["prims"]
        _kernels.pop()._destroy()
    metas.execute()


def are_late() -> bool:
    return isinstance(sys.modules.get(METAS), LateModule)
