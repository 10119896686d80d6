"""Let torchvision be imported beside a torch that its compiled operators do not fit.

A CPU-only torch next to the torchvision wheel of PyPI (built for CUDA) is a common pair: some package indexes offer
nothing else. torchvision's compiled library then cannot load. That alone would do no harm, for this course uses only
its Python parts (data sets, transforms, models), but `import torchvision` goes on to describe two of the operators
that library would have declared, `nms` and `qnms`, and fails because they do not exist. Declaring their schemas first,
without an implementation, is enough to make the import work. (Calling them still fails, and says so.)

Nothing happens where it is not needed: torchvision already imported or not installed, its library loads, or the
operators exist. It is safe to call any number of times.
"""

import importlib.util
import sys
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

# What a Library declares is withdrawn when the Library is deleted, so it must live as long as the process.
_library: torch.library.Library | None = None


def make_importable() -> bool:
    """Declare the operators that `import torchvision` needs, if its own library cannot.

    Call it before the first `import torchvision`; `import reglab` does.

    Returns:
        True if operators were declared by this call.
    """
    global _library
    if _library is not None or "torchvision" in sys.modules or _compiled_operators_load():
        return False
    missing = [name for name in _SCHEMAS if not _exists(name)]
    if not missing:
        return False
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for name in missing:
        _library.define(name + _SCHEMAS[name])
    return True


def _exists(name: str) -> bool:
    return hasattr(torch.ops.torchvision, name)


def _compiled_operators_load() -> bool:
    """True if torchvision needs no help: its library loads, or it is not installed at all."""
    spec = importlib.util.find_spec("torchvision")  # finds it without importing it
    if spec is None or spec.origin is None:
        return True
    for library in sorted(Path(spec.origin).parent.glob("_C*")):
        if library.suffix in {".so", ".pyd", ".dylib"}:
            try:
                torch.ops.load_library(str(library))  # torchvision will do the same; a second load is free
            except OSError:
                return False
            return True
    return False
