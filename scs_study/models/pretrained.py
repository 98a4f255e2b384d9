"""Weights from somebody else's file: read without running its code, known by their checksum, kept with the runs."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from scs_study.system.console import say
from scs_study.system.tensors import checksum, load_tensors, quarantine, save_tensors

PREFIX = "module."
"""What nn.DataParallel puts before every name (the public ResNet20 was saved so, systems.md 5)."""
OF_RUN = "weights.safetensors"
"""The file of weights in a run's folder."""
DIGITS = 12


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the weights in a file, by name: a state dict, or a dict that has one as `state_dict`; safetensors or
    torch's. Of a run's folder, those of its last epoch.

    torch's files are loaded with weights_only=True. Raises ValueError in one sentence.
    """
    if path.is_dir():
        if not (path / OF_RUN).is_file():
            raise ValueError(
                f"init.checkpoint={path}: cannot be read as weights: it is a folder, and no finished run's: it "
                f"has no {OF_RUN}"
            )
        path = path / OF_RUN
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load(path.read_bytes())
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"init.checkpoint={path}: there is no such file") from None
    except Exception as error:  # a file of another kind can make an unpickler fail in any way
        known = isinstance(error, (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError, ValueError))
        first = (str(error).splitlines() or [""])[0] if known else ""
        raise ValueError(
            f"init.checkpoint={path}: cannot be read as weights: {first or 'it is a file of another kind'}"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    tensors = (
        {str(name).removeprefix(PREFIX): value for name, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise ValueError(f"init.checkpoint={path}: holds no weights (a state dict, or a dict with one as state_dict)")
    for name, value in tensors.items():
        if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_complex():
            raise ValueError(f"init.checkpoint={path}: {name} is {value.dtype}, {value.layout}: no plain real numbers")
    return tensors


def scheme_of(tensors: Mapping[str, Tensor]) -> str:
    """Return the name of these weights as an init scheme: checkpoint-<first digits of their checksum>."""
    return f"checkpoint-{checksum(tensors)[:DIGITS]}"


def store_checkpoint(tensors: Mapping[str, Tensor], folder: Path) -> Path:
    """Return the file in `folder`, beside the shared initial weights, that every run which starts from these reads."""
    scheme = scheme_of(tensors)
    path = folder / f"{scheme}.safetensors"
    try:
        if scheme_of(load_tensors(path)[0]) == scheme:
            return path
        say(f"{path} holds other weights; set aside as {quarantine(path).name} and written anew")
    except FileNotFoundError:
        pass
    except ValueError as error:
        say(f"{error}; set aside as {quarantine(path).name} and written anew")
    save_tensors(path, tensors)
    return path


def check_fit(
    tensors: Mapping[str, Tensor], plain: Mapping[str, Tensor], arch: str, scheme: str, kind: str = "checkpoint"
) -> None:
    """Raise ValueError in one sentence unless the weights fit `plain`, the architecture's state dict.

    scheme: where they come from, the init scheme or, of kind "weights", the run.
    """
    start = f"init={scheme}" if kind == "checkpoint" else scheme
    for words, names in (("lacks", plain.keys() - tensors.keys()), ("has also", tensors.keys() - plain.keys())):
        if names:
            listed = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
            raise ValueError(f"{start}: these are not the weights of {arch}: the {kind} {words} {listed}")
    for name, value in plain.items():
        if tensors[name].shape != value.shape:
            shapes = f"{tuple(tensors[name].shape)}, not {tuple(value.shape)}"
            raise ValueError(f"{start}: these are not the weights of {arch}: {name} has shape {shapes}")
        if tensors[name].is_floating_point() != value.is_floating_point():
            types = f"{tensors[name].dtype}, not {value.dtype}"
            raise ValueError(f"{start}: these are not the weights of {arch}: {name} is of type {types}")
