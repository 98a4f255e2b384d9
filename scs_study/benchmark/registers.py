"""Registers and spills of the Triton kernels that a training step starts, compiled for a GPU that need not be there."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scs_study.config.schema import DRAWN, CellConfig
from scs_study.layers import cpu
from scs_study.layers.kernels import fused
from scs_study.layers.kernels.start import HAVE_TRITON
from scs_study.models import build_variant
from scs_study.models.initialization import draw
from scs_study.models.pool_fusion import fuse_pools
from scs_study.training import fused_adam

CAPABILITY = 90
"""Of the compiled code: sm_90, an H100 or H200."""
_FOUND = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.int64: "*i64"}


@dataclass(frozen=True)
class RegisterRow:
    """A kernel as a step starts it. columns: channels, or elements of a row. stack, spills: bytes a thread."""

    arch: str
    kernel: str
    columns: int
    tile: str
    programs: int
    registers: int
    stack: int
    spill_stores: int
    spill_loads: int


@dataclass(frozen=True)
class Start:
    """A kernel that would have been started, and with what."""

    kernel: Any
    programs: int
    arguments: tuple[Any, ...]
    constants: dict[str, Any]


def registers(cells: Sequence[CellConfig], batch: int = 128) -> list[RegisterRow]:
    """Return a row for every different kernel in a step (forward and backward) of the cells' networks.

    Raises ValueError where there is no Triton to compile them.
    """
    if not HAVE_TRITON:
        raise ValueError("torch comes without Triton on this system, which compiles the kernels")
    rows = []
    for cell in cells:
        seen = set()
        for start in starts_of(cell, batch):
            row = _row(cell.arch, start)
            if row not in seen:
                seen.add(row)
                rows.append(row)
    return rows


def starts_of(cell: CellConfig, batch: int) -> list[Start]:
    """Return the starts of Triton kernels in a step of the cell's network, as on a GPU; nothing is computed by them."""
    found: list[Start] = []
    with _recorded(found):
        network = fuse_pools(build_variant(cell, draw(cell.arch, 0, DRAWN[0], cell.data.ends)))
        network.to(memory_format=torch.channels_last)
        images = torch.zeros(batch, cell.data.channels, *cell.data.size).contiguous(memory_format=torch.channels_last)
        network(images).sum().backward()
        state = torch.zeros(3, sum(parameter.numel() for parameter in network.parameters()))
        rates, at = torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64)
        fused_adam.adam(state[0], state[0], state[1], state[2], rates, at, 0.999, 1e-8, 0.0)
    return found


@contextlib.contextmanager
def _recorded(found: list[Start]) -> Iterator[None]:
    def record(kernel: Any, programs: int, device: torch.device, *arguments: Any, **constants: Any) -> None:
        found.append(Start(kernel, programs, arguments, constants))

    others = [(fused, "launch", record), (fused_adam, "launch", record), (fused, "usable", lambda x: True)]
    before = [(module, name, getattr(module, name)) for module, name, _ in others]
    cpu.choose("plain")  # the CPU's own loops would come first
    try:
        for module, name, other in others:
            setattr(module, name, other)
        yield
    finally:
        for module, name, own in before:
            setattr(module, name, own)
        cpu.choose(cpu.KERNELS[0])


def _row(arch: str, start: Start) -> RegisterRow:
    registers, stack, stores, loads = _compiled(start)
    constants = {**dict(zip(start.kernel.arg_names, start.arguments, strict=False)), **start.constants}
    tile = "x".join(str(constants[name]) for name in ("ROWS", "COLUMNS", "BLOCK") if name in constants)
    columns = int(constants.get("columns", 0))
    name = str(start.kernel.fn.__name__)
    return RegisterRow(arch, name, columns, tile, start.programs, registers, stack, stores, loads)


def _compiled(start: Start) -> tuple[int, int, int, int]:
    """Registers, and bytes of stack, spill stores and spill loads of a thread."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names, values = start.kernel.arg_names, dict(zip(start.kernel.arg_names, start.arguments, strict=False))
    values |= start.constants
    constants = {name for name, parameter in zip(names, start.kernel.params, strict=True) if parameter.is_constexpr}
    constants |= {name for name, value in values.items() if isinstance(value, int) and value == 1}  # as Triton does
    signature = {name: "constexpr" if name in constants else _type(values[name]) for name in names}
    # Memory of torch begins at multiples of 16 bytes, which Triton's own launcher finds out.
    aligned = [i for i, name in enumerate(names) if name not in constants and _by_16(values[name])]
    source = ASTSource(
        start.kernel,
        signature,
        {name: values[name] for name in constants},
        {(index,): [["tt.divisibility", 16]] for index in aligned},
    )
    # What the assembler says, with the options that Triton gives it; Triton prints it where its knob is turned.
    with (
        triton.knobs.nvidia.scope(),
        triton.knobs.compilation.scope(),
        contextlib.redirect_stdout(io.StringIO()) as log,
    ):
        triton.knobs.nvidia.dump_ptxas_log = True
        triton.knobs.compilation.always_compile = True
        triton.compile(source, target=GPUTarget("cuda", CAPABILITY, 32))
    said = log.getvalue()
    stack, stores, loads = map(int, _FOUND.findall(said)[-1])
    return int(re.findall(r"Used (\d+) registers", said)[-1]), stack, stores, loads


def _type(value: object) -> str:
    if isinstance(value, Tensor):
        return _TYPES[value.dtype]
    return "fp32" if isinstance(value, float) else "i32"


def _by_16(value: object) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, int) and value % 16 == 0)
