"""The kernels of a training step of the graphed engine, traced where no GPU need be: the step runs on the CPU, with the
operators of a GPU, and every operation that a GPU would start a kernel for is written down.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch._library.custom_ops import OPDEFS
from torch.utils._python_dispatch import TorchDispatchMode

from scs_study.config.schema import DRAWN, CellConfig
from scs_study.data import ImageSet, fused_batch
from scs_study.layers import autograd, cpu
from scs_study.layers.kernels import fused, layer
from scs_study.models import InitialWeights
from scs_study.models.initialization import draw
from scs_study.training import fused_adam
from scs_study.training.graphed import GraphedEngine
from scs_study.training.objectives import fused_loss
from scs_study.training.run import Settings, build

_FREE = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "lift_fresh"}
_SEVERAL = {"_foreach_norm": 3, "nll_loss_backward": 2}
"""Operations that start more than one kernel: these fill their result with zeros first, and norms end in a sum of parts
(torch 2.15, aten/src/ATen/native/cuda: ForeachReduceOp.cu, NLLLoss2d.cu and Loss.cu)."""


@dataclass(frozen=True)
class Start:
    """A Triton kernel that would have been started, and with what."""

    kernel: Any
    programs: int
    arguments: tuple[Any, ...]
    constants: dict[str, Any]

    @property
    def name(self) -> str:
        """What the kernel is called."""
        return str(self.kernel.fn.__name__)


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that writes down what a GPU would be given to do.

    kernels: in their order, the names of Triton's kernels and of torch's operations; of an operation that starts
    several the name as often. Those that a library starts beside its own, to change a layout or add up parts, are not
    known here and count as none. starts: Triton's kernels alone, with what they were given.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels: list[str] = []
        self.starts: list[Start] = []

    def launch(self, kernel: Any, programs: int, device: torch.device, *arguments: Any, **constants: Any) -> None:
        """Write down a kernel in the place of `layers.kernels.start.launch`, which would start it."""
        # Not the tensors: one that somebody else holds is copied where it becomes a parameter's gradient.
        kinds = tuple(torch.empty(0, dtype=a.dtype) if isinstance(a, Tensor) else a for a in arguments)
        start = Start(kernel, programs, kinds, constants)
        self.starts.append(start)
        self.kernels.append(start.name)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do the operation, and write its kernels down."""
        if func.namespace == "scs_study":  # what it starts is seen from within
            with self:
                return OPDEFS[func.name()]._init_fn(*args, **(kwargs or {}))
        if func.has_kernel_for_dispatch_key(DispatchKey.CompositeImplicitAutograd):  # made of others
            with self:
                return func.decompose(*args, **(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        if func.namespace != "aten":  # a profiler's marks
            return result
        self.kernels += [func._opname] * _kernels(func, args, result)
        return result


def _kernels(func: Any, args: Any, result: Any) -> int:
    name = func._opname
    on_device = [t for t in torch.utils._pytree.tree_leaves((args, result)) if isinstance(t, Tensor)]
    if func.is_view or name in _FREE or any(tensor.is_meta for tensor in on_device):
        return 0
    if name == "convolution_backward":
        return sum(bool(wanted) for wanted in args[-1])
    if name == "_foreach_copy_":
        same = all(a.stride() == b.stride() and a.dtype == b.dtype for a, b in zip(args[0], args[1], strict=True))
        return 1 if same else len(args[0])
    return _SEVERAL.get(name, 1)


_OTHERS = (fused_batch, fused_loss, fused_adam)


@contextlib.contextmanager
def traced() -> Iterator[Trace]:
    """Return a context in which the CPU takes the ways of a GPU and nothing is computed by Triton's kernels."""
    trace = Trace()
    others: list[tuple[Any, str, Any]] = [(module, "launch", trace.launch) for module in (fused, layer, *_OTHERS)]
    others += [(module, "usable", lambda *_: True) for module in (fused, *_OTHERS)]
    others += [(autograd, "CHUNK", 1 << 60)]  # a GPU has no cache to cut a batch for
    before = [(module, name, getattr(module, name)) for module, name, _ in others]
    cpu.choose("plain")  # the CPU's own loops would come first
    try:
        for module, name, other in others:
            setattr(module, name, other)
        with trace:
            yield trace
    finally:
        for module, name, own in before:
            setattr(module, name, own)
        cpu.choose(cpu.KERNELS[0])


def step_kernels(cell: CellConfig) -> Trace:
    """Return what one step of the cell's training, a full batch by the graphed engine, would start on a GPU."""
    shared = InitialWeights(draw(cell.arch, 0, DRAWN[0], cell.data.ends), "")
    with traced():
        engine = build(cell, _images(cell), shared, _GRAPHED).engine
    assert isinstance(engine, GraphedEngine)
    engine.state.train()
    engine._begin(engine.batches.plan(1), engine.new_log(), 0)
    with traced() as trace:
        engine._next_step(engine.batches.batch_size)
    return trace


_GRAPHED = Settings(torch.device("cpu"), "graphed")


def _images(cell: CellConfig) -> ImageSet:
    """One batch of black images."""
    channels, classes = cell.data.ends
    pixels = torch.zeros(cell.train.batch_size, *cell.data.size, channels, dtype=torch.uint8)
    labels = torch.zeros(len(pixels), dtype=torch.int64)
    names = tuple(map(str, range(classes)))
    return ImageSet(pixels, labels, pixels, labels, names, "", "")
