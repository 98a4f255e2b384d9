"""The sharpened layers on a CPU at about the price of a convolution: convolution, scale, pool and power in one.

`layers.functional` asks `takes` and goes its usual way where it says no (docs/speed.md lists where). What is compiled
here is the same mathematics in the same precision, summed in another order.
"""

from scs_study.layers.cpu.choice import KERNELS, PLAIN, choose, kernel_name
from scs_study.layers.cpu.layer import power
from scs_study.layers.cpu.settings import NO_WINDOW, Settings, Window, products, takes, window_of

__all__ = [
    "KERNELS",
    "NO_WINDOW",
    "PLAIN",
    "Settings",
    "Window",
    "choose",
    "kernel_name",
    "power",
    "products",
    "takes",
    "window_of",
]
