"""What a run computes, as typed values: the scientific config, its checks and its name.

Everything here is part of a run's identity. Where and how a run is computed (folders, device, engine, launcher) is not,
and is recorded beside the run instead (runs/provenance.py).
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from scs_study.config.identity import Code
from scs_study.system.files import shortened

FORMAT = 1
"""Version of the identity; a run folder of another format is refused, never guessed at."""

LAYERS = ("conv", "scs", "cosine", "sdp")
ACTIVATIONS = ("none", "relu")
POOLINGS = ("max", "maxabs")
NORMS = ("none", "batchnorm")
CLASSES = {"digits": 10, "cifar10": 10, "cifar100": 100, "mnist": 10, "fashion_mnist": 10}
"""The number of classes of each known data set (data/datasets.py has the rest)."""
GREY = ("digits", "mnist", "fashion_mnist")
"""The known data sets without colours, which networks may be shown in one channel."""
FOLDER = "folder"
"""Anybody's own images, a folder for each class (data/image_folder.py)."""
DATASETS = (*CLASSES, FOLDER)
FITS = ("crop", "stretch")
PARAMETERISATIONS = ("may2022", "mar2022")
PRETRAINED = "pretrained"
SIZED_AS = "_sized_as_"
"""<a>_sized_as_<b>: the kernels of scheme a, each scaled to the L2 norm of its twin in scheme b."""
DRAWN = ("conv2d", "uniform", "kaiming_normal")
"""The schemes that draw weights, torch's own first."""
INIT_SCHEMES = (*DRAWN, PRETRAINED, f"uniform{SIZED_AS}{PRETRAINED}", f"{PRETRAINED}{SIZED_AS}uniform")
CHECKPOINT = re.compile(r"checkpoint-[0-9a-f]{12}")
"""The scheme of weights from a file: named after their checksum, since where the file lies is no part of a cell."""
OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("onecycle", "constant", "steps")
NUMERICS = ("float32", "tf32", "bf16")
MOST = 2**63 - 1
"""The largest whole number of a setting: what a table's column holds."""
MOST_PADDING = 32
"""Pixels: with more zeros around a 32x32 image some crops would show nothing of it."""
SHA256 = re.compile(r"[0-9a-f]{64}")


def choice(key: str, value: object, known: Iterable[str]) -> str:
    """`value`, if it is one of `known`. Errors: ValueError that names the alternatives and the nearest of them."""
    known = list(known)
    if isinstance(value, str) and value in known:
        return value
    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(f"{key}={value}: not known{hint}; choose from {', '.join(known)}")


def _number(key: str, value: object, low: float, high: float = math.inf, *, open_low: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or _float(value) is None:
        raise ValueError(f"{key}={value}: must be a number")
    if value < low or value > high or (open_low and value == low):
        bound = f"above {low:g}" if open_low else f"at least {low:g}"
        raise ValueError(f"{key}={value}: must be {bound}" + (f" and at most {high:g}" if high < math.inf else ""))
    return float(value)


def _float(value: float) -> float | None:
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number with more than 308 digits
        return None


def whole(key: str, value: object, low: int, high: int = MOST) -> int:
    """`value`, if it is a whole number from `low` to `high`. Errors: ValueError in one sentence."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key}={value}: must be a whole number")
    if value < low or value > high:
        shown = value if abs(value) <= 10 * MOST else f"{str(value)[:20]}..."
        bounds = f"at least {low}" + (f" and at most {high}" if high < MOST or value > high else "")
        raise ValueError(f"{key}={shown}: must be {bounds}")
    return value


def flag(key: str, value: object) -> bool:
    """`value`, if it is a truth value. Errors: ValueError in one sentence."""
    if not isinstance(value, bool):
        raise ValueError(f"{key}={value}: must be true or false")
    return value


@dataclass(frozen=True)
class LayerConfig:
    """Which layer replaces nn.Conv2d, and its own settings (systems.md 1.1, 1.7, 7).

    parameterisation: which version of the SCS layer; null for conv and sdp.
    p: the fixed exponent shared by all layers, null where p is learned (or where there is none: conv).
    p_init: (low, high) of the uniform law that a learned p starts from.
    w_max: weights are clamped to +-w_max after each step (may2022); null switches the clamp off.
    weight_scale: factor on the shared initial weights of the replaced layers.
    skip_1x1: true leaves 1x1 convolutions (ResNet's downsamples) as they are.
    """

    name: str
    parameterisation: str | None
    p: float | None
    p_init: tuple[float, float] | None
    w_max: float | None
    weight_scale: float
    skip_1x1: bool

    def __post_init__(self) -> None:
        choice("layer.name", self.name, LAYERS)
        if self.name in ("scs", "cosine"):
            choice("layer.parameterisation", self.parameterisation, PARAMETERISATIONS)
        elif self.parameterisation is not None:
            raise ValueError(f"layer.parameterisation={self.parameterisation}: {self.name} has no parameterisations")
        if self.p is not None:
            _number("layer.p", self.p, 0.0, 100.0, open_low=True)
        if self.p_init is not None:
            if not isinstance(self.p_init, tuple) or len(self.p_init) != 2 or self.p_init[0] > self.p_init[1]:
                shown = list(self.p_init) if isinstance(self.p_init, tuple) else self.p_init
                raise ValueError(f"layer.p_init={shown}: must be [low, high]")
            for bound in self.p_init:
                _number("layer.p_init", bound, 0.1, 100.0)
        if self.name == "conv" and (self.p is not None or self.p_init is not None):
            raise ValueError("layer.p and layer.p_init have no effect on layer=conv: it has no exponent")
        if self.name == "cosine" and self.p != 1.0:
            raise ValueError(f"layer.p={self.p}: the plain cosine is p = 1; use layer=scs for another fixed p")
        if self.name in ("scs", "sdp") and self.p is None and self.p_init is None:
            raise ValueError(f"layer.p_init=null: {self.name} with a learned p needs the range it starts from")
        if self.p is not None and self.p_init is not None:
            raise ValueError(
                f"layer.p={self.p} fixes the exponent, so layer.p_init has no effect: set layer.p_init=null"
            )
        if self.w_max is not None:
            if self.parameterisation != "may2022":
                raise ValueError(f"layer.w_max={self.w_max}: only the may2022 layer clamps its weights")
            _number("layer.w_max", self.w_max, 0.0, open_low=True)
        _number("layer.weight_scale", self.weight_scale, 0.0, open_low=True)
        if flag("layer.skip_1x1", self.skip_1x1) and self.name == "conv":
            raise ValueError("layer.skip_1x1=true has no effect on layer=conv")


CONVOLUTION = LayerConfig("conv", None, None, None, None, 1.0, False)


@dataclass(frozen=True)
class DataConfig:
    """Which images, their size in pixels, and the augmentation of the training set (paper Appendix A).

    image_size: height and width, a number where they are equal. channels: 3, or 1 for grey images.
    Of data.name=folder alone, None for the known sets: fit, how an image is brought to image_size (crop: resized until
    it covers it, the middle is taken; stretch: height and width each by itself); test_share, split_seed: which images
    of every class are test images, None where the folder says so; digest: SHA-256 of the images' files and classes.
    num_classes: found in the folder, or the known set's (whatever is given).
    """

    name: str
    image_size: int | tuple[int, int]
    crop_padding: int
    flip: bool
    channels: int = 3
    fit: str | None = None
    test_share: float | None = None
    split_seed: int | None = None
    num_classes: int | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        choice("data.name", self.name, DATASETS)
        if isinstance(self.image_size, tuple) and len(self.image_size) != 2:
            raise ValueError(f"data.image_size={list(self.image_size)}: must be a number, or [height, width]")
        for side in self.image_size if isinstance(self.image_size, tuple) else (self.image_size,):
            whole("data.image_size", side, 8)
        if isinstance(self.image_size, tuple) and self.image_size[0] == self.image_size[1]:
            object.__setattr__(self, "image_size", self.image_size[0])  # the same images, so the same name
        whole("data.crop_padding", self.crop_padding, 0, MOST_PADDING if self.name != FOLDER else min(self.size))
        flag("data.flip", self.flip)
        if self.channels not in (1, 3):
            raise ValueError(f"data.channels={self.channels}: must be 3, or 1 for grey images")
        if self.name == FOLDER:
            self._check_folder()
            return
        if self.channels == 1 and self.name not in GREY:
            raise ValueError(f"data.channels=1: the images of {self.name} have colours; 1 is for {', '.join(GREY)}")
        for key in ("fit", "test_share", "split_seed", "digest"):
            if getattr(self, key) is not None:
                raise ValueError(f"data.{key}={getattr(self, key)} has no effect on data.name={self.name}")
        object.__setattr__(self, "num_classes", CLASSES[self.name])

    def _check_folder(self) -> None:
        choice("data.fit", self.fit, FITS)
        whole("data.num_classes", self.num_classes, 2)
        if not isinstance(self.digest, str) or not SHA256.fullmatch(self.digest):
            raise ValueError(f"data.digest={self.digest}: must be 64 hex digits")
        if (self.test_share is None) != (self.split_seed is None):
            raise ValueError("data.test_share and data.split_seed: one without the other has no effect")
        if self.test_share is not None:
            _number("data.test_share", self.test_share, 0.0, 0.9, open_low=True)
            whole("data.split_seed", self.split_seed, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of what networks see."""
        return self.image_size if isinstance(self.image_size, tuple) else (self.image_size, self.image_size)

    @property
    def pixels(self) -> int:
        """Pixels of an image that networks see."""
        return self.size[0] * self.size[1]

    @property
    def ends(self) -> tuple[int, int]:
        """What a network's two ends must fit: the channels of an image, and the number of classes."""
        assert self.num_classes is not None
        return self.channels, self.num_classes

    @property
    def size_words(self) -> str:
        """The size as names and tables have it: 32, or 48x40 (height x width)."""
        return size_words(self.image_size)

    @property
    def images_key(self) -> str:
        """A name for the images that are loaded: the same for two configs that differ in what happens to them later."""
        if self.name != FOLDER:  # a known set is resized in the batches
            return self.name if self.channels == 3 else f"{self.name}_{self.channels}ch"
        split = "" if self.test_share is None else f"-{self.test_share:g}-{self.split_seed}"
        return f"{self.name}-{str(self.digest)[:16]}-{self.size_words}-{self.channels}ch-{self.fit}{split}"

    def identity(self) -> dict[str, Any]:
        """The values that are part of a run's identity: those that say something about the images."""
        values = {name: getattr(self, name) for name in ("name", "image_size", "crop_padding", "flip")}
        if self.channels != 3:
            values["channels"] = self.channels
        if self.name == FOLDER:
            for name in ("fit", "test_share", "split_seed", "num_classes", "digest"):
                if getattr(self, name) is not None:
                    values[name] = getattr(self, name)
        return values


def size_words(image_size: object) -> str:
    """Return an image size in words: 32, or 48x40 (height x width)."""
    return "x".join(str(side) for side in image_size) if isinstance(image_size, (tuple, list)) else str(image_size)


@dataclass(frozen=True)
class TrainConfig:
    """The training recipe (paper Appendix A; systems.md 7 for what it leaves unstated).

    numerics: float32, tf32 (matrix products of a CUDA device in TensorFloat-32) or bf16 (autocast).
    """

    epochs: int
    batch_size: int
    optimizer: str
    max_lr: float
    schedule: str
    weight_decay: float
    momentum: float | None
    label_smoothing: float
    numerics: str

    def __post_init__(self) -> None:
        whole("train.epochs", self.epochs, 1)
        whole("train.batch_size", self.batch_size, 1)
        choice("train.optimizer", self.optimizer, OPTIMIZERS)
        _number("train.max_lr", self.max_lr, 0.0, open_low=True)
        choice("train.schedule", self.schedule, SCHEDULES)
        _number("train.weight_decay", self.weight_decay, 0.0)
        _number("train.label_smoothing", self.label_smoothing, 0.0, 0.999)
        choice("train.numerics", self.numerics, NUMERICS)
        if self.optimizer == "sgd":
            _number("train.momentum", self.momentum, 0.0, 0.999)
        elif self.momentum is not None:
            raise ValueError(f"train.momentum={self.momentum} has no effect on train.optimizer={self.optimizer}")


@dataclass(frozen=True)
class CellConfig:
    """One cell of a study: architecture x variant x data x recipe x seed.

    init: the law of the shared initial weights (one of DRAWN), or whose trained weights to start from: those of the
    cell's convolutional twin (pretrained), or those of a file (checkpoint-<checksum>). Or the directions of one and
    the norms of another (uniform_sized_as_pretrained, pretrained_sized_as_uniform; a file in the place of pretrained).
    code: (part, digest) of what a name stands for, where that is no released code (identity.code_of); () for the rest,
    and for cells of commits that did not know it.
    """

    arch: str
    layer: LayerConfig
    activation: str
    pooling: str
    norm: str
    data: DataConfig
    init: str
    train: TrainConfig
    seed: int
    code: Code = ()

    def __post_init__(self) -> None:
        if not isinstance(self.arch, str) or not re.fullmatch(r"\w[\w.+-]*", self.arch):
            raise ValueError(f"arch={self.arch}: must be a name of letters, digits and _ . + -")
        choice("activation", self.activation, ACTIVATIONS)
        choice("pooling", self.pooling, POOLINGS)
        choice("norm", self.norm, NORMS)
        if CHECKPOINT.sub(PRETRAINED, str(self.init)) not in INIT_SCHEMES:
            choice("init", self.init, INIT_SCHEMES)
        whole("seed", self.seed, 0)

    def identity(self) -> dict[str, Any]:
        """The canonical, JSON-able dict that the run's name is computed from."""
        identity: dict[str, Any] = json.loads(json.dumps(self._values()))
        return identity

    def _values(self) -> dict[str, Any]:
        values = {"format": FORMAT, **{name: getattr(self, name) for name in self.__dataclass_fields__}}
        for section in ("layer", "train"):  # dataclasses.asdict takes ten times as long
            values[section] = vars(values[section])
        values["data"] = self.data.identity()
        if code := values.pop("code"):
            values["code"] = dict(code)
        return values

    @property
    def source(self) -> CellConfig | None:
        """The cell whose trained weights this one starts from: its convolutional twin, of the same recipe and seed.

        None unless init needs them (paper 4.3).
        """
        if PRETRAINED not in self.init:
            return None
        code = tuple((part, digest) for part, digest in self.code if part != "layer")
        return dataclasses.replace(self, layer=CONVOLUTION, init=DRAWN[0], code=code)

    @property
    def slug(self) -> str:
        """The readable half of the run's name."""
        layer = self.layer.name
        if self.layer.p is not None and layer != "cosine":
            layer += f"_p{self.layer.p:g}"
        parts = [self.arch, layer, self.activation, self.pooling]
        if self.norm != "none":
            parts.append(self.norm)
        if self.init != DRAWN[0]:
            parts.append(CHECKPOINT.sub("checkpoint", self.init))
        data = self.data.name if self.data.image_size == 32 else f"{self.data.name}_{self.data.size_words}"
        if self.data.channels != 3:
            data += f"_{self.data.channels}ch"
        return shortened("-".join([*parts, data, f"{self.train.epochs}ep", f"s{self.seed}"]))

    @functools.cached_property
    def run_name(self) -> str:
        """The name of the run's folder: slug and the first 12 hex digits of the identity's SHA-256."""
        canonical = json.dumps(self._values(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"{self.slug}-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"


def cell_from_dict(values: Mapping[str, Any]) -> CellConfig:
    """The cell that plain values describe (a resolved Hydra config's scientific part, or a run's config.json).

    Errors: ValueError in one sentence for missing keys, unknown keys and values out of range.
    """
    values = dict(values)
    version = values.pop("format", FORMAT)
    if version != FORMAT:
        raise ValueError(
            f"config format {version} was written by another version of this project (this one reads {FORMAT})"
        )
    values = {
        **values,
        "code": _code(values.get("code", {})),
        "layer": _section(LayerConfig, "layer", values.get("layer"), floats=("p", "w_max", "weight_scale")),
        "data": _section(DataConfig, "data", values.get("data"), floats=("test_share",)),
        "train": _section(
            TrainConfig, "train", values.get("train"), floats=("max_lr", "weight_decay", "momentum", "label_smoothing")
        ),
    }
    return _build(CellConfig, "", values)


def _code(values: object) -> Code:
    if not isinstance(values, Mapping) or not all(isinstance(each, str) for pair in values.items() for each in pair):
        raise ValueError(f"code={values}: must be parts and the digests of their source")
    return tuple(sorted(values.items()))


T = TypeVar("T")


def _section(kind: type[T], key: str, values: object, floats: tuple[str, ...] = ()) -> T:
    if not isinstance(values, Mapping):
        raise ValueError(f"{key}={values}: must be a group of settings")
    converted = dict(values)
    for name in floats:  # 1 and 1.0 are the same recipe and must have the same name
        if isinstance(converted.get(name), int) and not isinstance(converted[name], bool):
            converted[name] = _number(f"{key}.{name}", converted[name], -math.inf)
    if isinstance(converted.get("p_init"), (list, tuple)):
        converted["p_init"] = tuple(_number(f"{key}.p_init", bound, 0.0) for bound in converted["p_init"])
    if isinstance(converted.get("image_size"), (list, tuple)):
        converted["image_size"] = tuple(converted["image_size"])
    return _build(kind, f"{key}.", converted)


def check_keys(prefix: str, values: Mapping[str, Any], known: Iterable[str], optional: Iterable[str] = ()) -> None:
    """Do nothing where `values` has the `known` keys and no others. Errors: ValueError in one sentence.

    optional: of them, those that may be missing.
    """
    known, optional = list(known), set(optional)
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f" (did you mean {prefix}{near[0]}?)" if near else ""
            raise ValueError(f"{prefix}{name}: no such setting{hint}; there are {', '.join(known)}")
    missing = [prefix + name for name in known if name not in values and name not in optional]
    if missing:
        raise ValueError(f"{', '.join(missing)}: not set")


def _build(kind: type[T], prefix: str, values: Mapping[str, Any]) -> T:
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    optional = [field.name for field in fields if field.default is not dataclasses.MISSING]
    check_keys(prefix, values, [field.name for field in fields], optional)
    return kind(**values)
