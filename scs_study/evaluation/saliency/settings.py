"""What a saliency analysis computes, as typed values checked before anything runs (conf/saliency/*.yaml)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from scs_study.config.schema import check_keys, choice, flag, whole

METHODS = ("gradient", "integrated_gradients", "smoothgrad")
TARGETS = ("predicted", "true")
OUTPUTS = ("logit", "loss")
SCALES = ("map", "figure")


@dataclass(frozen=True)
class MapSettings:
    """What a saliency map is: of which method, of which class, of what that class gets.

    method: gradient (Simonyan et al. 2014), integrated_gradients (Sundararajan et al. 2017, from a black image) or
    smoothgrad (Smilkov et al. 2017). target: the class that the network predicts, or the true one. output: that class's
    logit, or its cross-entropy loss. steps: points of the integral; samples: noisy copies of an image, noise: their
    standard deviation in shares of the image's range; None where the method has none.
    """

    method: str = "gradient"
    target: str = "predicted"
    output: str = "logit"
    steps: int | None = None
    samples: int | None = None
    noise: float | None = None

    def __post_init__(self) -> None:
        choice("saliency.method", self.method, METHODS)
        choice("saliency.target", self.target, TARGETS)
        choice("saliency.output", self.output, OUTPUTS)
        wanted = {"integrated_gradients": ("steps",), "smoothgrad": ("samples", "noise")}.get(self.method, ())
        for name in ("steps", "samples", "noise"):
            value = getattr(self, name)
            if name not in wanted:
                if value is not None:
                    raise ValueError(f"saliency.{name}={value} has no effect on saliency.method={self.method}")
            elif name == "noise":
                _share("saliency.noise", value, above=0.0)
            else:
                whole(f"saliency.{name}", value, 1)


@dataclass(frozen=True)
class SaliencySettings:
    """A whole analysis: the maps, over how many images each measure is taken, and how the figure is drawn.

    images: test images whose maps are measured (None: all); perturbed: of them, how many get deletion and insertion
    curves of `points` steps; randomised: of them, how many enter the randomisation check; compared: of them, of how
    many the maps are cached, to be compared with those of other networks; 0 leaves a check out. The images
    are the first ones of an order that `seed` decides. top: share of the pixels whose mass is taken. min_accuracy:
    variants whose network is less accurate at the end of its training are left out. picture: whether the figure shows
    the images themselves. chosen: the test images of the figure, None for one of every class. scale: each map by its
    own largest value, or all by the figure's.
    """

    maps: MapSettings
    images: int | None
    top: float
    perturbed: int
    points: int
    randomised: int
    seed: int
    min_accuracy: float
    picture: bool
    chosen: tuple[int, ...] | None
    scale: str
    compared: int = 0

    def __post_init__(self) -> None:
        if self.images is not None:
            whole("saliency.images", self.images, 2)
        whole("saliency.perturbed", self.perturbed, 0)
        whole("saliency.points", self.points, 1)
        whole("saliency.randomised", self.randomised, 0)
        whole("saliency.compared", self.compared, 0)
        whole("saliency.seed", self.seed, 0)
        _share("saliency.top", self.top, above=0.0)
        _share("saliency.min_accuracy", self.min_accuracy)
        flag("saliency.picture", self.picture)
        choice("saliency.scale", self.scale, SCALES)
        for name in ("perturbed", "randomised"):
            if self.images is not None and getattr(self, name) > self.images:
                raise ValueError(f"saliency.{name}={getattr(self, name)}: there are only saliency.images={self.images}")
        if self.chosen is not None:
            if not self.chosen:
                raise ValueError("saliency.chosen=[]: name test images by their numbers, or null for one of each class")
            for number in self.chosen:
                whole("saliency.chosen", number, 0)

    @property
    def name(self) -> str:
        """The name of the figures and tables: "saliency", and what about the maps is not the paper's."""
        usual = MapSettings()
        words = [getattr(self.maps, key) for key in ("method", "target", "output")]
        plain = [getattr(usual, key) for key in ("method", "target", "output")]
        return "_".join(["saliency", *(word for word, other in zip(words, plain, strict=True) if word != other)])


def saliency_of(config: DictConfig) -> SaliencySettings:
    """Return the checked settings of a composed group conf/saliency. Raises ValueError in one sentence."""
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    known = {str(key): value for key, value in values.items()}
    names = ("method", "target", "output", "steps", "samples", "noise")
    others = ("images", "top", "perturbed", "points", "randomised", "compared", "seed", "min_accuracy", "picture",
              "chosen", "scale")  # fmt: skip
    check_keys("saliency.", known, (*names, *others))
    chosen = known["chosen"]
    if chosen is not None and not isinstance(chosen, list):
        raise ValueError(f"saliency.chosen={chosen}: must be a list of whole numbers, such as [3,14,159]")
    return SaliencySettings(
        maps=MapSettings(**{name: known[name] for name in names}),
        images=known["images"],
        top=known["top"],
        perturbed=known["perturbed"],
        points=known["points"],
        randomised=known["randomised"],
        compared=known["compared"],
        seed=known["seed"],
        min_accuracy=known["min_accuracy"],
        picture=known["picture"],
        chosen=None if chosen is None else tuple(chosen),
        scale=known["scale"],
    )


def _share(key: str, value: object, above: float = -1.0) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{key}={value}: must be a number")
    if not 0 <= value <= 1 or value <= above:
        raise ValueError(f"{key}={value}: must be {'above 0' if above == 0 else 'at least 0'} and at most 1")
