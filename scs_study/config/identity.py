"""Code as a part of a run's identity: the digest of what a name stands for, where that is not what was released.

A run is named after a hash of its settings, and a setting such as arch=rohrer25k is a name: what it stands for is
code. What this project has released stands behind its name (released.py); a network, a layer, a pool or a data set that
was added, or a released one that was changed, has the digest of its source in the identity: another width, another run.

Covered: the definition itself and, from there, all that it names in this package; of code outside it the whole module,
the modules of its top-level package that it imports, and theirs. Comments, docstrings, type annotations, line endings
and layout make no difference. Not covered: other packages that are installed (of torch and the like provenance.jsonl
has the versions), files that the code reads, what it imports by a name that is computed; of this package the harness
around them, training, augmentation and swapping (provenance.jsonl has the commit).

Nothing here imports the code it looks at, nor torch: a study's status is told without.
`python -m scs_study.config.identity` prints released.py as it would have to be for the code as it is.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scs_study.config.images import DATASETS
from scs_study.config.released import RELEASED
from scs_study.config.source import (
    PACKAGE,
    Closure,
    canonical,
    closure_digest,
    hash_of,
    installed,
    module_of,
    modules_digest,
    top_of,
)
from scs_study.config.target import split_target
from scs_study.config.widths import split_widths
from scs_study.system.console import say

OBJECTIVES = "scs_study.training.objectives.registry", "OBJECTIVES"
REGISTRY = "scs_study.models.architectures", "ARCHITECTURES"
"""The module and the name in it where a user adds a network."""
_PUBLISHED = "scs_study.layers.published.authors"
_LAYERS, _POOLS = "scs_study.layers.modules", "scs_study.layers.pooling"
DEFINITIONS: Mapping[str, Mapping[str, tuple[str, str] | None]] = {
    "layer": {
        "conv": None,
        "scs": (_LAYERS, "SharpenedCosineSimilarity2d"),
        "cosine": (_LAYERS, "SharpenedCosineSimilarity2d"),
        "sdp": (_LAYERS, "SharpenedDotProduct2d"),
        "rohrer_feb2022": (_PUBLISHED, "RohrerFeb2022"),
        "rohrer_mar2022": (_PUBLISHED, "RohrerMar2022"),
        "rohrer_apr2022": (_PUBLISHED, "RohrerApr2022"),
        "rohrer_may2022": (_PUBLISHED, "RohrerMay2022"),
        "wang": (_PUBLISHED, "Wang"),
        "batchelor": (_PUBLISHED, "Batchelor"),
        "hogg": (_PUBLISHED, "Hogg"),
        "ifeherva": (_PUBLISHED, "Ifeherva"),
        "hukkelas": (_PUBLISHED, "Hukkelas"),
        "zimonitrome": (_PUBLISHED, "Zimonitrome"),
        "pisoni": (_PUBLISHED, "Pisoni"),
    },
    "pooling": {"max": None, "maxabs": (_POOLS, "MaxAbsPool2d")},
    "activation": {"none": None, "relu": None},
    "norm": {"none": None, "batchnorm": None},
    "objective": {"classification": None, "adversarial": None},
    # Images speak for themselves: their digest is in every result, and the known sets are checked against it.
    "data": dict.fromkeys(DATASETS),
}
"""The released names and what they stand for, module and definition; None where torch or the images say that."""
TRANSPOSED = {
    "rohrer_may2022": [("scs_study.layers.published.transposed", "RohrerMay2022Transpose2d")],
    "zimonitrome": [("scs_study.layers.published.transposed", "ZimonitromeTranspose2d")],
}
"""What a layer's name stands for besides: its form in the place of a transposed convolution."""
_WHOLE = {
    "layer": ("scs_study.models.conversion", "scs_study.layers"),
    "pooling": ("scs_study.models.conversion", "scs_study.layers"),
    "activation": ("scs_study.models.conversion",),
    "norm": ("scs_study.models.conversion",),
    "data": ("scs_study.data.load",),
}
"""The modules that say what another name stands for: they cover it, with all that they import of this package."""

Code = tuple[tuple[str, str], ...]


def code_of(names: Mapping[str, str], targets: Mapping[str, object] | None = None) -> Code:
    """Return (part, digest) of every named part of a cell that is not the released one, sorted; () where all are.

    names: part -> name; parts that are no code (init) are passed over. targets: part -> the Python object outside this
    package that its name stands for (target.py), where there is one.
    Raises ValueError in one sentence for source that cannot be read.
    """
    parts, given = ("arch", *DEFINITIONS), targets or {}
    found = ((part, part_digest(part, name, given.get(part))) for part, name in sorted(names.items()) if part in parts)
    return tuple((part, digest) for part, digest in found if digest is not None)


def part_digest(part: str, name: str, target: object = None) -> str | None:
    """Return the digest of what `name` stands for as a cell's `part`; None where it is what was released as that name.

    target: the Python object that it stands for, where that is outside this package. Raises as `code_of`.
    """
    if target is not None:
        return target_digest(*split_target(part, target))
    digest = _digest(part, name)
    if part == "arch" and (other := _registered_elsewhere(name)):
        return other
    return None if digest == RELEASED.get(part, {}).get(_unsized(part, name)) else digest


target_digest = functools.cache(lambda module, name: source_digest(module, name))
"""`source_digest`, once for all cells of a study."""


def check_code(code: Code, names: Mapping[str, str], targets: Code = ()) -> None:
    """Raise ValueError in one sentence where `code`, a cell's, is of other source than `names` stand for here and now.

    A part that nobody has released and of which the cell says nothing passes: commits that knew no digests wrote it.
    """
    then = dict(code)
    for part, name in names.items():
        released = _unsized(part, name) in (RELEASED["arch"] if part == "arch" else DEFINITIONS[part])
        now = part_digest(part, name, dict(targets).get(part))
        if then.get(part) != now and (released or part in then):
            there, here = _said(then.get(part)), _said(now)
            raise ValueError(
                f"{part}={name}: its source was changed since this run was made ({there} then, {here} now)"
            )


def _unsized(part: str, name: str) -> str:
    """A network's name as the registry has it: without its widths, which are no code."""
    return split_widths(name)[0] if part == "arch" and _entry(name) is None else name


def _said(digest: str | None) -> str:
    return f"digest {digest}" if digest else "as released"


@functools.cache
def _digest(part: str, name: str) -> str | None:
    if part == "arch":
        entry = _entry(_unsized(part, name))
        return modules_digest(PACKAGE, [REGISTRY[0]]) if entry is None else entry.digest()
    known = DEFINITIONS[part]
    if name not in known and part == "objective":
        return _objective_digest(name)
    if name not in known:
        return modules_digest(PACKAGE, _WHOLE[part])
    target = known[name]
    return None if target is None else closure_digest([target, *TRANSPOSED.get(name, ())])


def _objective_digest(name: str) -> str:
    """The digest of the module that an objective of this package is in: what that imports is the harness."""
    home = module_of(OBJECTIVES[0])
    values = [value for statement in home.defined.get(OBJECTIVES[1], ()) for value in _entries(statement, name)]
    modules = {
        home.imported[value.id][0] for value in values if isinstance(value, ast.Name) and value.id in home.imported
    }
    return hash_of("\n".join(canonical(module_of(module).tree) for module in sorted(modules or {home.name})))


def source_digest(module: str, name: str = "") -> str:
    """Return the digest of code outside this package: of the `module` that an object comes from, and of the modules of
    its top-level package, and others that are not installed, that this one imports, and so on. name: the object's.

    Raises ValueError in one sentence for a module that is not there or has no source.
    """
    return hash_of(f"{name}|{modules_digest(top_of(module), (module,))}")


def _registered_elsewhere(arch: str) -> str | None:
    """The digest of what builds `arch`, where code outside this package has put it into the registry; else None.

    Nobody can have done so before the registry was imported.
    """
    known, arch = getattr(sys.modules.get(REGISTRY[0]), REGISTRY[1], {}), _unsized("arch", arch)
    build: Any = getattr(known.get(arch), "build", None)
    settings = ""
    while isinstance(build, functools.partial):
        settings += f"|{build.args!r}|{sorted(build.keywords.items())!r}"
        build = build.func
    module, entry = str(getattr(build, "__module__", PACKAGE)), _entry(arch)
    if top_of(module) == PACKAGE or (entry is not None and top_of(module) in entry.others):
        return None  # the registry's own text says it
    name = f"{module}.{getattr(build, '__qualname__', '')}{settings}"
    return hash_of(name) if installed(module) else hash_of(f"{name}|{source_digest(module)}")


@functools.cache
def _entry(arch: str) -> Closure | None:
    """An architecture's entry in the registry and all that it needs; None where none is written down."""
    home = module_of(REGISTRY[0])
    closure, found = Closure(PACKAGE), False
    for statement in home.defined.get(REGISTRY[1], ()):
        for value in _entries(statement, arch):
            closure.node(home, value)
            found = True
        if not isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)):
            closure.node(home, statement)  # a loop or a condition: it may change any of them
    return closure if found else None


def _entries(statement: ast.stmt, key: str) -> Iterator[ast.expr]:
    """The values that a statement gives `key` in the registry: in a literal, by an item, or as a call's argument."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Dict):
            for name, value in zip(node.keys, node.values, strict=True):
                if isinstance(name, ast.Constant) and name.value == key:
                    yield value
        if isinstance(node, ast.Assign):
            items = [target.slice for target in node.targets if isinstance(target, ast.Subscript)]
            if any(isinstance(item, ast.Constant) and item.value == key for item in items):
                yield node.value
        if isinstance(node, ast.Call):
            yield from (word.value for word in node.keywords if word.arg == key)


def released() -> dict[str, dict[str, str]]:
    """Return what RELEASED would have to be for the code as it is: part -> name -> digest."""
    table: dict[str, dict[str, str]] = {"arch": {name: str(_digest("arch", name)) for name in RELEASED["arch"]}}
    for part, names in DEFINITIONS.items():
        digests = {name: _digest(part, name) for name in names}
        found = {name: digest for name, digest in digests.items() if digest is not None}
        if found:
            table[part] = found
    return table


def main() -> None:
    """Print released.py as it would have to be for the code as it is."""
    head = Path(__file__).with_name("released.py").read_text(encoding="utf-8").partition("RELEASED")[0]
    lines = ["RELEASED: dict[str, dict[str, str]] = {"]
    for part, names in released().items():
        lines += [f'    "{part}": {{', *(f'        "{name}": "{digest}",' for name, digest in names.items()), "    },"]
    say("\n".join([head.rstrip(), "", *lines, "}"]))


if __name__ == "__main__":
    main()
