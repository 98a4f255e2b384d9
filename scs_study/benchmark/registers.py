"""Registers and spills of the Triton kernels that a training step starts, compiled for a GPU that need not be there."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from scs_study.benchmark.step_kernels import Start, Trace
from scs_study.layers.kernels.start import HAVE_TRITON

CAPABILITY = 90
"""Of the compiled code: sm_90, an H100 or H200."""
_FOUND = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_TYPES = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.int64: "*i64",
    torch.int32: "*i32",
    torch.uint8: "*u8",
}


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


def registers(traces: Mapping[str, Trace]) -> list[RegisterRow]:
    """Return a row for every different kernel of Triton's in training steps, traced for each architecture.

    Raises ValueError where there is no Triton to compile them.
    """
    if not HAVE_TRITON:
        raise ValueError("torch comes without Triton on this system, which compiles the kernels")
    rows = [_row(arch, start) for arch, trace in traces.items() for start in trace.starts]
    return list(dict.fromkeys(rows))


def _row(arch: str, start: Start) -> RegisterRow:
    registers, stack, stores, loads = _compiled(start)
    constants = {**dict(zip(start.kernel.arg_names, start.arguments, strict=False)), **start.constants}
    tile = "x".join(str(constants[name]) for name in ("ROWS", "COLUMNS", "BLOCK", "SLOTS") if name in constants)
    columns = int(constants.get("columns", 0))
    return RegisterRow(arch, start.name, columns, tile, start.programs, registers, stack, stores, loads)


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
