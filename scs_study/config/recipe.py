"""How a network is trained: the recipe, a part of a run's identity."""

from __future__ import annotations

from dataclasses import dataclass

from scs_study.config.checks import choice, number, whole

TRAIN_FLOATS = (
    *("max_lr", "weight_decay", "momentum", "label_smoothing", "warm_up", "beta1"),
    *("mixup", "cutmix", "mix_share", "random_erasing"),
)
YOUNGER = ("warm_up", "beta1", "cool_down", "randaugment", "mixup", "cutmix", "mix_share", "random_erasing")
"""Settings that are younger than the first runs, whose names must stay: part of an identity only where they are set."""
MOST_OPERATIONS, MOST_MAGNITUDE = 14, 30
"""Of RandAugment: torchvision has 14 kinds of operation, and 31 magnitudes, 0 to 30."""
MOST_ALPHA = 100.0
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
    cool_down: of schedule=cosine, the share of the steps, the last ones, on which the rate stays where the cosine has
    ended, and that rate; None lets it fall to 0 at the very end.
    beta1: of optimizer=adam, where no schedule cycles it; None is torch's 0.9.
    randaugment: how many operations, and their magnitude (0 to 30), of torchvision's RandAugment after crop and flip.
    mixup, cutmix: the alpha of the Beta law that says how much of another image is mixed in; with both, each batch has
    one of them. mix_share: the share of the epochs, from the first on, whose batches are mixed; None for all of them.
    random_erasing: the share of the images in which a box is filled with noise, at the very end.
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
    cool_down: tuple[float, float] | None = None
    randaugment: tuple[int, int] | None = None
    mixup: float | None = None
    cutmix: float | None = None
    mix_share: float | None = None
    random_erasing: float | None = None

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
        self._check_cool_down()
        self._check_mixing()
        if self.random_erasing is not None:
            number("train.random_erasing", self.random_erasing, 0.0, 1.0, open_low=True)

    def _check_cool_down(self) -> None:
        if self.cool_down is None:
            return
        if not isinstance(self.cool_down, tuple) or len(self.cool_down) != 2:
            shown = list(self.cool_down) if isinstance(self.cool_down, tuple) else self.cool_down
            raise ValueError(
                f"train.cool_down={shown}: must be null, or [share of the steps, rate] such as [0.1, 0.00001]"
            )
        share, rate = self.cool_down
        number("train.cool_down share", share, 0.0, 0.99, open_low=True)
        number("train.cool_down rate", rate, 0.0)
        if self.schedule != "cosine":
            raise ValueError(f"train.cool_down={[share, rate]} has no effect on train.schedule={self.schedule}")
        if rate > self.max_lr:
            raise ValueError(f"train.cool_down rate={rate:g}: must be at most train.max_lr, {self.max_lr:g}")
        if share + (self.warm_up or 0.0) >= 1.0:
            raise ValueError(
                f"train.cool_down share={share:g}: with train.warm_up={self.warm_up:g} no step is left for the cosine"
            )

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
