"""The network of a cell: its architecture, converted into the variant, with the shared initial weights in it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from scs_study.config.identity import check_code
from scs_study.config.images import size_words
from scs_study.config.schema import ADVERSARIAL, CHECKPOINT, CLASSIFICATION, OWN, CellConfig, LayerConfig, choice
from scs_study.config.schema import LAYERS as PAPER_LAYERS
from scs_study.layers.registry import LAYERS, layer_types
from scs_study.models.architectures import architecture, plain_network
from scs_study.models.conversion import OTHER_NORM, convert, convert_modules
from scs_study.models.frozen import learning
from scs_study.models.initialization import UNIT_P, build
from scs_study.models.outside import adopt
from scs_study.models.pretrained import check_fit
from scs_study.system.memory import free_memory
from scs_study.system.randomness import derived, own_random_state

MADE_FOR = {CLASSIFICATION: "a classifier", ADVERSARIAL: "a generator and a discriminator"}
"""What a network is, by the objective of this project that it is made for."""


def check_cell(cell: CellConfig) -> None:
    """Raise ValueError in one sentence for a cell that cannot be built."""
    adopt(cell)
    built, data = architecture(cell.arch), cell.data
    choice("layer.name", cell.layer.name, LAYERS)
    check_code(cell.code, _names(cell), cell.targets)
    if cell.objective in set(MADE_FOR) - {built.objective}:
        kind = MADE_FOR.get(built.objective, "made for another objective")
        raise ValueError(f"objective={cell.objective}: {cell.arch} is {kind}; choose objective={built.objective}")
    if built.image_sizes and data.image_size not in built.image_sizes:
        sizes = ", ".join(size_words(size) for size in built.image_sizes)
        raise ValueError(f"data.image_size={data.size_words}: {cell.arch} takes images of {sizes} pixels only")
    if built.frozen:
        if not CHECKPOINT.fullmatch(cell.init):
            raise ValueError(
                f"arch={cell.arch}: its backbone is a trained network: init=pretrained init.checkpoint=PATH, the "
                "folder of its run or a file of its weights"
            )
        if cell.pooling != "max":
            raise ValueError(f"pooling={cell.pooling} has no effect on {cell.arch}, whose head has none; choose max")
    if refusal := _refusal(cell.arch, data.ends, data.size):
        raise ValueError(refusal)
    if cell.norm == "batchnorm" and not _has(cell.arch, data.ends, nn.BatchNorm2d):
        raise ValueError(f"norm=batchnorm: {cell.arch} has no BatchNorm2d; choose norm=none")
    if cell.layer.name not in PAPER_LAYERS and (refusal := _layer_refusal(cell.arch, data.ends, cell.layer)):
        raise ValueError(refusal)


def build_variant(cell: CellConfig, shared: Mapping[str, Tensor]) -> nn.Module:
    """Return the network of `cell` on the CPU, starting from the `shared` initial weights.

    Every tensor that the variant has in common with the plain network is a copy of the shared one (times
    layer.weight_scale for replaced kernels); a learned p starts at low + (high - low) * the shared draw.
    init=own: a layer in a convolution's place starts as its authors start it, bias included.
    """
    network = _converted(cell, {name: value for name, value in shared.items() if not name.endswith(UNIT_P)})
    spec = LAYERS[cell.layer.name]
    if cell.init == OWN:
        _start_own(network, cell, spec.modules)
    if cell.layer.p_init is not None and spec.start_p is not None:
        low, high = cell.layer.p_init
        for path, module in network.named_modules():
            if isinstance(module, spec.modules):
                spec.start_p(module, low + (high - low) * shared[f"{path}.{UNIT_P}"])
    return network


@torch.no_grad()
def _start_own(network: nn.Module, cell: CellConfig, kinds: tuple[type[nn.Module], ...]) -> None:
    for path, module in network.named_modules():
        if isinstance(module, kinds):
            reset = getattr(module, "reset_parameters", None)
            if not callable(reset):
                raise ValueError(f"init={OWN}: the layer {cell.layer.name} has no reset_parameters(), which draws them")
            with own_random_state(derived(f"own {cell.layer.name} {cell.arch} {cell.seed} {path}")):
                reset()
            module.get_parameter("weight").mul_(cell.layer.weight_scale)


def restore_variant(cell: CellConfig, trained: Mapping[str, Tensor]) -> nn.Module:
    """Return the network of `cell` on the CPU with the `trained` weights of one of its runs (weights.safetensors)."""
    network = _converted(cell, None)
    check_fit(trained, network.state_dict(), cell.arch, cell.run_name, "weights")
    network.load_state_dict(trained)
    return network


def _names(cell: CellConfig) -> dict[str, str]:
    return {
        "arch": cell.arch,
        "layer": cell.layer.name,
        "pooling": cell.pooling,
        "activation": cell.activation,
        "norm": cell.norm,
        "objective": cell.objective,
    }


def not_converted(cell: CellConfig) -> tuple[tuple[str, str], ...]:
    """Return what the variant wants converted and keeps nevertheless: module paths and reasons (ConversionReport)."""
    return _not_converted(cell.arch, cell.data.ends, cell.layer, cell.activation, cell.pooling, cell.norm)


def norm_as_built(cell: CellConfig) -> str:
    """Return the norm that a cell's plain network has: batchnorm or none. A network that cannot be built has none."""
    adopt(cell)
    architecture(cell.arch)
    try:
        return "batchnorm" if _has(cell.arch, cell.data.ends, nn.BatchNorm2d) else "none"
    except Exception:  # whatever somebody else's network does with such channels: check_cell says it
        return "none"


def check_last_batch(cell: CellConfig, train_images: int) -> None:
    """Do nothing where the last batch of an epoch can be trained on.

    Raises ValueError in one sentence where it is one image, of which a batch norm sees one value a channel.
    """
    left = train_images % cell.train.batch_size or cell.train.batch_size
    if left == 1 and cell.norm == "batchnorm" and not _takes_one(cell.arch, cell.data.ends, cell.data.size):
        raise ValueError(
            f"train.batch_size={cell.train.batch_size}: of {train_images} training images the last batch is a single "
            f"one, and {cell.arch} norms batches where it has one pixel left; choose another size, such as "
            f"train.batch_size={cell.train.batch_size + 1}"
        )


@functools.cache
def _takes_one(arch: str, ends: tuple[int, int], size: tuple[int, int]) -> bool:
    try:
        with own_random_state(), torch.no_grad():  # not on "meta", as below
            plain_network(arch, ends).train()(torch.zeros(1, ends[0], *size))
    except ValueError:  # torch's own, of a norm
        return False
    return True


def remarks(cells: Iterable[CellConfig]) -> list[str]:
    """Return a line for each network of which a variant among `cells` keeps what it wants converted: where, and why.

    Nothing is said of the norms of a network of this project that has no BatchNorm2d: norm=none is all there is to
    choose for it, and asks for nothing.
    """
    found: dict[str, dict[str, dict[str, None]]] = {}
    for cell in cells:
        ours = "arch" not in dict(cell.code)
        for path, reason in not_converted(cell):
            if not (ours and reason.endswith(OTHER_NORM) and not _has(cell.arch, cell.data.ends, nn.BatchNorm2d)):
                found.setdefault(cell.arch, {}).setdefault(reason, {})[path or "the network"] = None
    return [
        f"{arch}: " + "; ".join(f"{_first_of(list(paths))}: {reason}" for reason, paths in reasons.items())
        for arch, reasons in found.items()
    ]


def _first_of(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


@functools.cache
def _not_converted(arch: str, ends: tuple[int, int], layer: LayerConfig, *settings: str) -> tuple[tuple[str, str], ...]:
    with own_random_state():
        return convert(plain_network(arch, ends), layer, *settings).left


def _converted(cell: CellConfig, plain: Mapping[str, Tensor] | None) -> nn.Module:
    check_cell(cell)
    network = build(cell.arch, cell.seed, cell.data.ends)
    # The layers that replace others draw weights, which are overwritten at once, and what they alone have: that stays.
    with own_random_state(derived(f"layers {cell.arch} {cell.seed}")):
        if plain is not None:
            network.load_state_dict(plain)
        convert_modules(network, cell.layer, cell.activation, cell.pooling, cell.norm)
    return network


def layer_paths(network: nn.Module) -> list[str]:
    """Return the module paths of the convolutions that learn and of the layers that replaced them, in the network's
    order.
    """
    found: dict[int, str] = {}
    for path, module in learning(network):
        if isinstance(module, layer_types()):
            found.setdefault(id(module), path)
    return list(found.values())


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable values (all of them are used: no layer here registers a parameter it ignores)."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def count_frozen(network: nn.Module) -> int:
    """Return the number of values that count_parameters leaves out: those of a frozen backbone."""
    return sum(parameter.numel() for parameter in network.parameters() if not parameter.requires_grad)


@functools.cache
def _has(arch: str, ends: tuple[int, int], kind: type[nn.Module]) -> bool:
    with own_random_state(), torch.device("meta"):
        return any(isinstance(module, kind) for _, module in learning(plain_network(arch, ends)))


@functools.cache
def _layer_refusal(arch: str, ends: tuple[int, int], layer: LayerConfig) -> str:
    """Why the layer cannot stand where the plain network has its convolutions, in a sentence; "" where it can."""
    try:
        with own_random_state(0):
            convert_modules(plain_network(arch, ends), layer, "relu", "max", "batchnorm")
    except ValueError as error:
        return str(error)
    except Exception as error:  # whatever somebody else's layer does with nn.Conv2d's arguments
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return f"layer={layer.name}: cannot stand in the place of the convolutions of {arch}: {reason}"
    return ""


def _least_bytes(network: nn.Module, channels: int, size: tuple[int, int]) -> int:
    """Bytes of two images and of what the network's first convolution makes of them."""
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    kept = 0 if first is None else first.out_channels // (first.stride[0] * first.stride[1])
    return 4 * 2 * (channels + kept) * size[0] * size[1]


@functools.cache
def _refusal(arch: str, ends: tuple[int, int], size: tuple[int, int]) -> str:
    """Why the plain network cannot take such images and classes, in a sentence; "" where it can."""
    # On "meta" the first ReLU would import torch's compiler, longer than two images take; a network may look at values.
    try:
        with own_random_state(), torch.no_grad():
            network = plain_network(arch, ends).eval()
            need, free = _least_bytes(network, ends[0], size), free_memory()
            if free is not None and need > free:
                return (
                    f"data.image_size={size[0]}x{size[1]}: two such images need {need / 1e9:.1f} GB in the first layer "
                    f"of {arch}, and {free / 1e9:.1f} GB are free: choose a smaller size"
                )
            shape = network(torch.zeros(2, ends[0], *size)).shape
    except ValueError as error:
        return str(error)
    except Exception as error:  # whatever somebody else's network does with images that it cannot take
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return f"{arch} cannot take {ends[0]} channels of {size[0]}x{size[1]} pixels (data.image_size): {reason}"
    wanted = {CLASSIFICATION: (2, ends[1]), ADVERSARIAL: (2,)}.get(architecture(arch).objective, shape)
    if tuple(shape) == wanted:
        return ""
    each = f" for each of {ends[1]} classes" if len(wanted) > 1 else ""
    return f"{arch} answers with {tuple(shape)[1:]} numbers for an image, not with one{each}"
