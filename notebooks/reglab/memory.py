"""How much memory tensors take at most while something is computed, on any device."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode


class LiveTensors(TorchDispatchMode):
    """Adds up a measure of all tensors that were made inside of the `with` and are still there, after each operation.

    What operations allocate and free within themselves is not seen, nor what was there before. Tensors that share their
    memory count once.

    Args:
        measure: what a tensor counts; its size in bytes by default.

    Attributes:
        peak: the largest sum there was.
    """

    def __init__(self, measure: Callable[[Tensor], int] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak: int = 0
        self._measure = measure or (lambda tensor: tensor.untyped_storage().nbytes())
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self._before: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in _tensors((args, kwargs)):
            reference = StorageWeakRef(tensor.untyped_storage())
            if reference.cdata not in self._alive:
                self._before.add(reference.cdata)
        output = func(*args, **(kwargs or {}))
        self._alive = {key: (ref, size) for key, (ref, size) in self._alive.items() if not ref.expired()}
        for tensor in _tensors(output):
            reference = StorageWeakRef(tensor.untyped_storage())
            if reference.cdata not in self._alive and reference.cdata not in self._before:
                self._alive[reference.cdata] = (reference, self._measure(tensor))
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return output


def peak_bytes(function: Callable[[], object]) -> int:
    """The most bytes that tensors made by `function` take at one time, its result among them."""
    seen = LiveTensors()
    with seen:
        result = function()
    del result
    return seen.peak


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for each in value for tensor in _tensors(each)] if isinstance(value, (list, tuple)) else []
