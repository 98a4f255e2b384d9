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
from scs_study.config.recipe import TRAIN_FLOATS, YOUNGER
from scs_study.config.recipe import TrainConfig as TrainConfig
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
CLASSIFICATION = "classification"
"""The objective of the paper."""
ADVERSARIAL = "adversarial"
"""That of a generator and a discriminator."""


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
    if isinstance(converted.get("cool_down"), (list, tuple)):
        converted["cool_down"] = tuple(number(f"{key}.cool_down", value, -math.inf) for value in converted["cool_down"])
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
