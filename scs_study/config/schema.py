"""What a run computes, as typed values: the scientific config, its checks and its name.

Everything here is part of a run's identity. Where and how a run is computed (folders, device, engine, launcher) is not,
and is recorded beside the run instead (runs/provenance.py).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from scs_study.config.checks import MOST as MOST
from scs_study.config.checks import check_keys as check_keys
from scs_study.config.checks import choice as choice
from scs_study.config.checks import flag as flag
from scs_study.config.checks import number
from scs_study.config.checks import whole as whole
from scs_study.config.identity import Code
from scs_study.config.images import DATASETS as DATASETS
from scs_study.config.images import FOLDER as FOLDER
from scs_study.config.images import JUDGES as JUDGES
from scs_study.config.images import DataConfig as DataConfig
from scs_study.config.images import size_words as size_words
from scs_study.config.layer import CONVOLUTION, check_name
from scs_study.config.layer import LAYERS as LAYERS
from scs_study.config.layer import LayerConfig as LayerConfig
from scs_study.system.files import shortened

FORMAT = 1
"""Version of the identity; a run folder of another format is refused, never guessed at."""

ACTIVATIONS = ("none", "relu")
POOLINGS = ("max", "maxabs")
NORMS = ("none", "batchnorm")
PRETRAINED = "pretrained"
SIZED_AS = "_sized_as_"
"""<a>_sized_as_<b>: the kernels of scheme a, each scaled to the L2 norm of the same one in scheme b."""
OWN = "own"
DRAWN = ("conv2d", "uniform", "kaiming_normal", OWN)
"""The schemes that draw weights, torch's own first."""
INIT_SCHEMES = (*DRAWN, PRETRAINED, f"uniform{SIZED_AS}{PRETRAINED}", f"{PRETRAINED}{SIZED_AS}uniform")
CHECKPOINT = re.compile(r"checkpoint-[0-9a-f]{12}")
"""The scheme of weights from a file: named after their checksum, since where the file lies is no part of a cell."""
TRAIN_FLOATS = (
    *("max_lr", "weight_decay", "momentum", "label_smoothing", "warm_up", "beta1"),
    *("mixup", "cutmix", "mix_share"),
)
YOUNGER = ("warm_up", "beta1", "randaugment", "mixup", "cutmix", "mix_share")
"""Settings that are younger than the first runs, whose names must stay: part of an identity only where they are set."""
MOST_OPERATIONS, MOST_MAGNITUDE = 14, 30
"""Of RandAugment: torchvision has 14 kinds of operation, and 31 magnitudes, 0 to 30."""
MOST_ALPHA = 100.0
CLASSIFICATION = "classification"
"""The objective of the paper."""
ADVERSARIAL = "adversarial"
"""That of a generator and a discriminator."""
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("onecycle", "constant", "steps", "two_stages", "cosine")
WARM = ("onecycle", "cosine")
"""The schedules that can begin with a rising rate."""
NUMERICS = ("float32", "tf32", "bf16")


@dataclass(frozen=True)
class TrainConfig:
    """The training recipe (paper Appendix A; systems.md 7 for what it leaves unstated).

    numerics: float32, tf32 (matrix products of a CUDA device in TensorFloat-32) or bf16 (autocast).
    warm_up: the share of the steps on which the rate rises; None is torch's 0.3 of schedule=onecycle, and 0 of cosine.
    beta1: of optimizer=adam, where no schedule cycles it; None is torch's 0.9.
    randaugment: how many operations, and their magnitude (0 to 30), of torchvision's RandAugment after crop and flip.
    mixup, cutmix: the alpha of the Beta law that says how much of another image is mixed in; with both, each batch has
    one of them. mix_share: the share of the epochs, from the first on, whose batches are mixed; None for all of them.
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
    warm_up: float | None = None
    beta1: float | None = None
    randaugment: tuple[int, int] | None = None
    mixup: float | None = None
    cutmix: float | None = None
    mix_share: float | None = None

    def __post_init__(self) -> None:
        whole("train.epochs", self.epochs, 1)
        whole("train.batch_size", self.batch_size, 1)
        choice("train.optimizer", self.optimizer, OPTIMIZERS)
        number("train.max_lr", self.max_lr, 0.0, open_low=True)
        choice("train.schedule", self.schedule, SCHEDULES)
        number("train.weight_decay", self.weight_decay, 0.0)
        number("train.label_smoothing", self.label_smoothing, 0.0, 0.999)
        choice("train.numerics", self.numerics, NUMERICS)
        if self.warm_up is not None:
            number("train.warm_up", self.warm_up, 0.0, 0.99, open_low=True)
            if self.schedule not in WARM:
                raise ValueError(f"train.warm_up={self.warm_up} has no effect on train.schedule={self.schedule}")
        if self.beta1 is not None:
            number("train.beta1", self.beta1, 0.0, 0.9999)
            if self.optimizer != "adam" or self.schedule == "onecycle":
                raise ValueError(f"train.beta1={self.beta1} has no effect on {self.optimizer} with {self.schedule}")
        if self.optimizer == "sgd":
            number("train.momentum", self.momentum, 0.0, 0.999)
        elif self.momentum is not None:
            raise ValueError(f"train.momentum={self.momentum} has no effect on train.optimizer={self.optimizer}")
        self._check_mixing()

    def _check_mixing(self) -> None:
        if self.randaugment is not None:
            if not isinstance(self.randaugment, tuple) or len(self.randaugment) != 2:
                shown = list(self.randaugment) if isinstance(self.randaugment, tuple) else self.randaugment
                raise ValueError(
                    f"train.randaugment={shown}: must be null, or [operations, magnitude] such as [2, 9], torchvision's"
                )
            whole("train.randaugment operations", self.randaugment[0], 1, MOST_OPERATIONS)
            whole("train.randaugment magnitude", self.randaugment[1], 0, MOST_MAGNITUDE)
        for key in ("mixup", "cutmix"):
            if getattr(self, key) is not None:
                number(f"train.{key}", getattr(self, key), 0.0, MOST_ALPHA, open_low=True)
        if self.mix_share is not None:
            number("train.mix_share", self.mix_share, 0.0, 1.0, open_low=True)
            if not self.mixes:
                raise ValueError(
                    f"train.mix_share={self.mix_share:g} has no effect without train.mixup or train.cutmix"
                )

    @property
    def mixes(self) -> bool:
        """Whether batches are mixed, so that an image has shares of two classes."""
        return self.mixup is not None or self.cutmix is not None


@dataclass(frozen=True)
class CellConfig:
    """One cell of a study: architecture x variant x data x recipe x seed.

    init: the law of the shared initial weights (one of DRAWN), or whose trained weights to start from: those of the
    cell's convolutional counterpart (pretrained), or a file's (checkpoint-<checksum>). Or the directions of one and the
    norms of another (uniform_sized_as_pretrained, pretrained_sized_as_uniform; a file in the place of pretrained).
    code: (part, digest) of what a name stands for, where that is no released code (identity.code_of); () for the rest,
    and for cells of commits that did not know it.
    objective: what the run optimises (training/objectives). targets: (part, Python object) of every name standing for
    code outside this package, such as ("arch", "my_project.nets.my_net").
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
    objective: str = CLASSIFICATION
    targets: Code = ()

    def __post_init__(self) -> None:
        check_name("arch", self.arch)
        check_name("objective", self.objective)
        choice("activation", self.activation, ACTIVATIONS)
        choice("pooling", self.pooling, POOLINGS)
        choice("norm", self.norm, NORMS)
        if CHECKPOINT.sub(PRETRAINED, str(self.init)) not in INIT_SCHEMES:
            choice("init", self.init, INIT_SCHEMES)
        whole("seed", self.seed, 0)
        if self.objective == ADVERSARIAL and self.train.mixes:
            raise ValueError(f"train.mixup and train.cutmix mix classes, of which objective={ADVERSARIAL} knows none")

    def identity(self) -> dict[str, Any]:
        """Return the canonical, JSON-able dict that the run's name is computed from."""
        identity: dict[str, Any] = json.loads(json.dumps(self._values()))
        return identity

    def _values(self) -> dict[str, Any]:
        values = {"format": FORMAT, **{name: getattr(self, name) for name in self.__dataclass_fields__}}
        # vars: dataclasses.asdict takes ten times as long
        values["train"] = dict(vars(self.train))
        for key in YOUNGER:
            if values["train"][key] is None:
                del values["train"][key]
        values["layer"], values["data"] = self.layer.identity(), self.data.identity()
        for key in ("code", "targets"):
            if pairs := values.pop(key):
                values[key] = dict(pairs)
        if self.objective == CLASSIFICATION:
            del values["objective"]
        return values

    @property
    def parent(self) -> CellConfig | None:
        """The cell whose trained weights this one starts from: its convolutional counterpart, by the same recipe.

        None unless init needs them (paper 4.3).
        """
        if PRETRAINED not in self.init:
            return None
        code, targets = (tuple(pair for pair in pairs if pair[0] != "layer") for pairs in (self.code, self.targets))
        return dataclasses.replace(self, layer=CONVOLUTION, init=DRAWN[0], code=code, targets=targets)

    @property
    def slug(self) -> str:
        """The readable half of the run's name."""
        layer = self.layer.name
        if self.layer.p is not None and layer != "cosine":
            layer += f"_p{self.layer.p:g}"
        parts = [self.arch, layer, self.activation, self.pooling]
        if self.norm != "none":
            parts.append(self.norm)
        if self.objective != CLASSIFICATION:
            parts.append(self.objective)
        if self.init != DRAWN[0]:
            parts.append(CHECKPOINT.sub("checkpoint", self.init))
        data = self.data.name if self.data.image_size == 32 else f"{self.data.name}_{self.data.size_words}"
        if self.data.name != FOLDER and self.data.test_share is not None:
            data += "_held_out"
        if self.data.judge != JUDGES[0]:
            data += f"_{self.data.judge}"
        if self.data.channels != 3:
            data += f"_{self.data.channels}ch"
        return shortened("-".join([*parts, data, f"{self.train.epochs}ep", f"s{self.seed}"]))

    @functools.cached_property
    def run_name(self) -> str:
        """The name of the run's folder: slug and the first 12 hex digits of the identity's SHA-256."""
        canonical = json.dumps(self._values(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"{self.slug}-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"


def cell_from_dict(values: Mapping[str, Any]) -> CellConfig:
    """Return the cell that plain values describe (a resolved Hydra config's scientific part, or a run's config.json).

    Raises ValueError in one sentence for missing keys, unknown keys and values out of range.
    """
    values = dict(values)
    version = values.pop("format", FORMAT)
    if version != FORMAT:
        raise ValueError(
            f"config format {version} was written by another version of this project (this one reads {FORMAT})"
        )
    values = {
        **values,
        "code": _pairs("code", values.get("code", {}), "parts and the digests of their source"),
        "targets": _pairs("targets", values.get("targets", {}), "parts and the Python objects they stand for"),
        "layer": _section(LayerConfig, "layer", values.get("layer"), floats=("p", "w_max", "weight_scale")),
        "data": _section(DataConfig, "data", values.get("data"), floats=("test_share", "validation_share")),
        "train": _section(TrainConfig, "train", values.get("train"), floats=TRAIN_FLOATS),
    }
    return _build(CellConfig, "", values)


def _pairs(key: str, values: object, wanted: str) -> Code:
    if not isinstance(values, Mapping) or not all(isinstance(each, str) for pair in values.items() for each in pair):
        raise ValueError(f"{key}={values}: must be {wanted}")
    return tuple(sorted(values.items()))


T = TypeVar("T")


def _section(kind: type[T], key: str, values: object, floats: tuple[str, ...] = ()) -> T:
    if not isinstance(values, Mapping):
        raise ValueError(f"{key}={values}: must be a group of settings")
    converted = dict(values)
    for name in floats:  # 1 and 1.0 are the same recipe and must have the same name
        if isinstance(converted.get(name), int) and not isinstance(converted[name], bool):
            converted[name] = number(f"{key}.{name}", converted[name], -math.inf)
    if isinstance(converted.get("p_init"), (list, tuple)):
        converted["p_init"] = tuple(number(f"{key}.p_init", bound, 0.0) for bound in converted["p_init"])
    if "options" in converted and not isinstance(converted["options"], Mapping):
        raise ValueError(f"{key}.options={converted['options']}: must be a group of settings")
    if isinstance(converted.get("randaugment"), (list, tuple)):
        converted["randaugment"] = tuple(converted["randaugment"])
    if isinstance(converted.get("affine"), (list, tuple)):
        converted["affine"] = tuple(number(f"{key}.affine", value, -math.inf) for value in converted["affine"])
    if isinstance(converted.get("image_size"), (list, tuple)):
        converted["image_size"] = tuple(converted["image_size"])
    return _build(kind, f"{key}.", converted)


def _build(kind: type[T], prefix: str, values: Mapping[str, Any]) -> T:
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    optional = [field.name for field in fields if field.default is not dataclasses.MISSING]
    check_keys(prefix, values, [field.name for field in fields], optional)
    return kind(**values)
