"""Where weights start and what keeps them in bounds, as Keras saves them."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("scs_study")
class Within(keras.constraints.Constraint):  # type: ignore[misc]
    """Keeps numbers between low and high, either of which may be None; Keras applies it after each step."""

    def __init__(self, low: float | None, high: float | None) -> None:
        self.low, self.high = low, high

    def __call__(self, w: Any) -> Any:
        """Return w within the bounds."""
        w = w if self.low is None else ops.maximum(w, self.low)
        return w if self.high is None else ops.minimum(w, self.high)

    def get_config(self) -> dict[str, Any]:
        """Return the bounds."""
        return {"low": self.low, "high": self.high}


@keras.saving.register_keras_serializable("scs_study")
class LogUniform(keras.initializers.RandomUniform):  # type: ignore[misc]
    """Draws scale * log(u), with u uniform between minval and maxval."""

    def __init__(self, minval: float, maxval: float, scale: float = 1.0, seed: int | None = None) -> None:
        super().__init__(minval, maxval, seed)
        self.scale = scale

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Return numbers of `shape`."""
        return self.scale * ops.log(super().__call__(shape, dtype))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for saving."""
        config: dict[str, Any] = super().get_config()
        return config | {"scale": self.scale}
