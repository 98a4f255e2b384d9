"""The initial weights all variants of an architecture and seed share: drawn once on the CPU, saved, checksummed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from scs_study.config.identity import part_digest
from scs_study.config.schema import CHECKPOINT, DRAWN, PRETRAINED, SIZED_AS, choice
from scs_study.models.architectures import architecture, plain_network
from scs_study.models.frozen import BACKBONE, of_backbone
from scs_study.models.pretrained import check_fit, scheme_of
from scs_study.system.console import say
from scs_study.system.files import shortened
from scs_study.system.randomness import derived, own_random_state
from scs_study.system.tensors import Unreadable, checksum, load_tensors, quarantine, save_tensors

PLAIN_ENDS = (3, 10)
"""The channels of an image and the number of classes of the paper's data set."""
UNIT_P = "unit_p"
"""<module path>.unit_p holds a U(0, 1) draw per kernel, which SCS and SharpenedSDP stretch to their range of p."""


@dataclass(frozen=True)
class InitialWeights:
    """Tensors by their name in the plain network's state dict (and unit_p), and their checksum."""

    tensors: dict[str, Tensor]
    checksum: str


def initial_weights(
    arch: str,
    seed: int,
    scheme: str,
    folder: Path,
    trained: Mapping[str, Tensor] | None = None,
    ends: tuple[int, int] = PLAIN_ENDS,
) -> InitialWeights:
    """Return the shared initial weights of (arch, seed, scheme, ends), from `folder` or drawn and saved there.

    ends: the channels of an image, and the number of classes.
    scheme conv2d: torch's own law for every module (Kaiming uniform, a = sqrt 5, for nn.Conv2d); uniform: U(-1, 1) for
    every kernel, torch's law for the rest (systems.md 7, "Shared initial weights"); kaiming_normal: N(0, 2 / fan in)
    for kernels and heads, as the public ResNet20 (systems.md 5); own: conv2d's, in
    which build_variant draws anew what a layer replaces, by the layer's own law. A damaged file, or one of another
    network of that name, is set aside and drawn again.
    checkpoint-...: the weights kept in `folder` (models.pretrained). pretrained: those of the `trained` plain network.
    a_sized_as_b: those of a, each kernel scaled to the L2 norm of the same one in b.
    Raises ValueError when there are no such weights, or they are not this architecture's.
    """
    directions, _, sizes = scheme.partition(SIZED_AS)
    if sizes:
        mine, theirs = (
            initial_weights(arch, seed, each, folder, trained, ends).tensors for each in (directions, sizes)
        )
        tensors = _resized(mine, theirs)
        return InitialWeights(tensors, checksum(tensors))
    if CHECKPOINT.fullmatch(scheme):
        return _from_checkpoint(arch, seed, scheme, folder, ends)
    if scheme == PRETRAINED:
        if trained is None:
            raise ValueError(f"init={PRETRAINED}: these weights are a trained network's, and none is given")
        return from_trained(arch, seed, trained, ends)
    choice("init", scheme, DRAWN)
    path = _file(folder, arch, seed, scheme, ends)
    notes = {"arch": arch, "seed": seed, "scheme": scheme}
    try:
        tensors, theirs = load_tensors(path)
        if theirs == notes and _shapes(tensors) == _shapes_of(arch, part_digest("arch", arch), ends):
            return InitialWeights(tensors, checksum(tensors))
        say(f"{path} holds the weights of another network; set aside as {quarantine(path).name} and drawn again")
    except FileNotFoundError:
        pass
    except Unreadable as error:
        say(f"{error}; drawn again")
    except ValueError as error:
        say(f"{error}; set aside as {quarantine(path).name} and drawn again")
    tensors = draw(arch, seed, scheme, ends)
    # Two processes may draw at once: the numbers are the same, and the file is replaced whole.
    return InitialWeights(tensors, save_tensors(path, tensors, notes))


def _file(folder: Path, arch: str, seed: int, scheme: str, ends: tuple[int, int]) -> Path:
    digest = part_digest("arch", arch)  # another network of the same name has other weights
    name = arch if digest is None else f"{arch}-{digest}"
    name += "" if ends == PLAIN_ENDS else f"-{ends[0]}to{ends[1]}"
    return folder / f"{shortened(f'{name}-s{seed}-{scheme}')}.safetensors"


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@functools.cache
def _shapes_of(arch: str, digest: str | None, ends: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    return _shapes(draw(arch, 0, DRAWN[0], ends))


def from_trained(
    arch: str, seed: int, trained: Mapping[str, Tensor], ends: tuple[int, int] = PLAIN_ENDS
) -> InitialWeights:
    """Return the initial weights of a cell that starts from the `trained` plain network; p is drawn as for all."""
    drawn = {name: value for name, value in draw(arch, seed, DRAWN[0], ends).items() if name.endswith(f".{UNIT_P}")}
    tensors = {**trained, **drawn}
    return InitialWeights(tensors, checksum(tensors))


def _resized(tensors: Mapping[str, Tensor], sizes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` with every convolution's kernels scaled to their L2 norms in `sizes`; zeros stay zeros."""
    kernels = [name.removesuffix(UNIT_P) + "weight" for name in tensors if name.endswith(f".{UNIT_P}")]
    scaled = {}
    for name in kernels:
        norms, wanted = (torch.linalg.vector_norm(each[name], dim=(1, 2, 3), keepdim=True) for each in (tensors, sizes))
        scaled[name] = tensors[name] * torch.where(norms > 0, wanted / norms, 0.0)
    return {**tensors, **scaled}


def _from_checkpoint(arch: str, seed: int, scheme: str, folder: Path, ends: tuple[int, int]) -> InitialWeights:
    path = folder / f"{scheme}.safetensors"
    try:
        tensors, _ = load_tensors(path)
    except FileNotFoundError:
        raise ValueError(f"init={scheme}: there is no {path}; give init.checkpoint=<their file>") from None
    drawn = draw(arch, seed, DRAWN[0], ends)
    plain = {name: value for name, value in drawn.items() if not name.endswith(f".{UNIT_P}")}
    if scheme_of(tensors) != scheme:
        raise ValueError(
            f"init={scheme}: {path} holds other weights; take it away and give init.checkpoint=<their file>"
        )
    if architecture(arch).frozen:  # the file has the backbone's weights, and a head's
        head = {name: value for name, value in plain.items() if not name.startswith(f"{BACKBONE}.")}
        tensors = {**of_backbone(tensors), **head}
    # The public ResNet20 was saved before BatchNorm counted its batches.
    tensors = {**{name: value for name, value in plain.items() if name.endswith("num_batches_tracked")}, **tensors}
    check_fit(tensors, plain, arch, scheme)
    return from_trained(arch, seed, tensors, ends)


def _draws_as(arch: str) -> str:
    return architecture(arch).draws_as or arch


def build(arch: str, seed: int, ends: tuple[int, int] = PLAIN_ENDS) -> nn.Module:
    """Return the plain network of (arch, seed, ends) on the CPU, the same every time, also where it
    keeps what it draws in places that no state dict has. The global random state is left as it was.
    """
    with own_random_state(derived(f"network {_draws_as(arch)} {seed}")):
        return plain_network(arch, ends)


def draw(arch: str, seed: int, scheme: str, ends: tuple[int, int] = PLAIN_ENDS) -> dict[str, Tensor]:
    """Return the tensors of (arch, seed, scheme, ends), drawn on the CPU; the global random state is left as it was."""
    network = build(arch, seed, ends)
    tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    for path, module in network.named_modules():
        if not isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            continue
        generator = torch.Generator().manual_seed(derived(f"kernels {_draws_as(arch)} {seed} {path}"))
        if scheme == "kaiming_normal":
            nn.init.kaiming_normal_(tensors[f"{path}.weight"], generator=generator)
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            if scheme == "uniform":
                tensors[f"{path}.weight"].uniform_(-1.0, 1.0, generator=generator)
            generator = torch.Generator().manual_seed(derived(f"p {_draws_as(arch)} {seed} {path}"))
            tensors[f"{path}.{UNIT_P}"] = torch.rand(module.out_channels, generator=generator)
    return tensors
