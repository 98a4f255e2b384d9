"""How the loops are compiled: by numba, ahead of their first call, one signature each, kept on disk.

One signature, compiled where it is defined, so that two processes that fill the store at once write the same bytes.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import config
from numba.core.caching import UserProvidedCacheLocator
from numba.core.registry import cpu_target

from scs_study.system import files

# Products and sums may be contracted; a sum over channels may be taken in any order (`in_any_order`). NaN and infinity
# are honoured: a run that diverges must say so.
_EXACT = {"contract", "nsz"}
_REGISTERS = {"zmm": 512, "ymm": 256, "xmm": 128, ".4s": 128}
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}

Function = Callable[..., Any]


def helper(function: Function) -> Function:
    """Return a function to be called from compiled loops only."""
    return numba.njit(fastmath=_EXACT, **_OPTIONS)(function)  # type: ignore[no-any-return]


def in_any_order(function: Function) -> Function:
    """Return a helper whose sums are taken in whatever order is fast."""
    return numba.njit(fastmath=_EXACT | {"reassoc"}, **_OPTIONS)(function)  # type: ignore[no-any-return]


def kernel(signature: str) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function for this signature now, or takes it from the store."""

    def compiled(function: Function) -> Function:
        before = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES  # type: ignore[attr-defined]
        config.CACHE_DIR = str(store())  # type: ignore[attr-defined]
        config.CACHE_LOCATOR_CLASSES = f"{__name__}.Located"  # type: ignore[attr-defined]
        try:
            return numba.njit(signature, fastmath=_EXACT, cache=True, **_OPTIONS)(function)
        finally:
            config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = before  # type: ignore[attr-defined]

    return compiled


class Located(UserProvidedCacheLocator):
    """Where numba keeps a loop: in the store itself, so that all copies of a source share what one has compiled.

    numba's own locator adds the path of the source file: every clone, and every submission to a cluster, which has its
    own copy of the code, would spend ten seconds on the same bytes.
    """

    def get_cache_path(self) -> str:
        """Return the folder of the loop's files."""
        return str(config.CACHE_DIR)  # type: ignore[attr-defined]


@functools.cache
def store() -> Path:
    """Return the folder of compiled loops, one for each state of this package's source.

    numba looks at the one file of a loop and would go on using a helper that has changed in another. Below
    NUMBA_CACHE_DIR where that is set; else among the user's caches; where nobody may write there, beside the source.
    """
    name = f"numba-{_digest()}"
    if "NUMBA_CACHE_DIR" in os.environ:
        return Path(os.environ["NUMBA_CACHE_DIR"]) / name
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    for folder in (Path(home) / "scs_study", _beside()):
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder / name):
                return folder / name
        except OSError:
            continue
    warnings.warn(
        "the fast CPU layers are compiled at every start: nowhere may they be kept; set NUMBA_CACHE_DIR", stacklevel=2
    )
    return Path(tempfile.mkdtemp(prefix="scs_study-"))


def _beside() -> Path:
    return Path(__file__).parent / "__pycache__"


def _digest() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


@functools.cache
def name() -> str:
    """Return what compiles the loops, for which processor, in vectors of how many bits: the last bits depend on it."""
    target = cpu_target.target_context.codegen().magic_tuple()
    tools = f"numba {numba.__version__}, llvmlite {llvmlite.__version__}"
    known = store() / f"bits-{hashlib.sha256(repr((tools, target)).encode()).hexdigest()[:12]}"
    try:
        bits = int(known.read_text())
    except (OSError, ValueError):
        # Of a loop compiled now, which takes half a second: numba cannot show what it took from the store.
        code = "".join(numba.njit("void(f4[::1], f4[::1])", **_OPTIONS)(_times).inspect_asm().values())
        bits = next((bits for register, bits in _REGISTERS.items() if register in code), 0)
        with contextlib.suppress(OSError):
            files.write_text(known, str(bits))
    return f"{tools}, {target[1]}, {bits} bits"


def _times(x: Any, y: Any) -> None:
    for n in range(x.shape[0]):
        y[n] *= x[n]
