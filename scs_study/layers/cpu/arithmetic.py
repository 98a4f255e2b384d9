"""The arithmetic of the compiled loops: log2, exp2 and orders of floats, written so that a compiler can vectorise them.

No library of vector functions is needed, and a result does not depend on which one a machine has. Everything here works
on one float32 and is inlined into the loops that call it.
"""

from __future__ import annotations

import numpy as np

from scs_study.layers.cpu.compiled import helper

F4, I4 = np.float32, np.int32
ZERO, ONE, TWO, INFINITY = F4(0), F4(1), F4(2), F4(np.inf)

_ROOT_HALF = I4(np.array(0.5**0.5, F4).view(I4))
_MANTISSA_BITS, _BIAS = I4(23), I4(127)
# log2 m = t (a0 + a1 t^2 + ...), t = (m - 1) / (m + 1), sqrt(1/2) <= m < sqrt(2): minimax, off by 7e-10 of the result.
_A0, _A1, _A2, _A3 = F4(2.88539007979), F4(0.961798847642), F4(0.576714383962), F4(0.431735879208)
# 2^f = b0 + b1 f + ..., |f| <= 1/2: minimax, off by 2e-9 of the result.
_B0, _B1, _B2, _B3 = F4(1.00000000055), F4(0.693147205737), F4(0.240226468906), F4(0.05550328777)
_B4, _B5, _B6 = F4(0.00961848895652), F4(0.00133999312095), F4(0.000153458121587)
_ROUND = F4(1.5 * 2**23)  # adding it leaves a whole number in the lowest bits of the sum
_ROUND_BITS = I4(np.array(_ROUND).view(I4))
_LOWEST, _HIGHEST, _OVERFLOW = F4(-126), F4(127.5), F4(128)
_SIGN, _REST = I4(-(2**31)), I4(2**31 - 1)
_FLIP = I4(-(2**31) + 1)


@helper
def log2(x: float) -> float:
    """Return log2 x of a normal x >= 0; of infinity and NaN, themselves."""
    bits = F4(x).view(I4)
    exponent = I4(I4(bits - _ROOT_HALF) >> _MANTISSA_BITS)
    m = I4(bits - I4(exponent << _MANTISSA_BITS)).view(F4)
    t = (m - ONE) / (m + ONE)
    u = t * t
    result = F4(exponent) + t * (((_A3 * u + _A2) * u + _A1) * u + _A0)
    return result if x < INFINITY else x


@helper
def exp2(x: float) -> float:
    """Return 2^x: 0 below 2^-126, infinity from 2^128, NaN of NaN."""
    held = _LOWEST if x < _LOWEST else x
    held = _HIGHEST if held > _HIGHEST else held
    rounded = held + _ROUND
    f = held - (rounded - _ROUND)
    result = (((((_B6 * f + _B5) * f + _B4) * f + _B3) * f + _B2) * f + _B1) * f + _B0
    power = I4(I4(I4(F4(rounded).view(I4) - _ROUND_BITS) + _BIAS) << _MANTISSA_BITS)
    result = result * I4(power).view(F4)
    result = INFINITY if x >= _OVERFLOW else result
    return ZERO if x < _LOWEST else result


@helper
def with_sign_of(like: float, value: float) -> float:
    """Return value >= 0 with the sign of `like`."""
    return I4(F4(value).view(I4) | I4(F4(like).view(I4) & _SIGN)).view(F4)


@helper
def magnitude_key(x: float) -> int:
    """Return an int32 that grows with |x|, larger for x than for -x, largest for NaN."""
    bits = F4(x).view(I4)
    turned = I4(I4(bits << I4(1)) | I4(I4(bits >> I4(31)) & I4(1)))
    return I4(turned ^ _FLIP)


@helper
def of_magnitude_key(key: int) -> float:
    """Return the x of `magnitude_key`."""
    turned = I4(I4(key) ^ _FLIP)
    return I4(I4(I4(turned >> I4(1)) & _REST) | I4(turned << I4(31))).view(F4)


@helper
def value_key(x: float) -> int:
    """Return an int32 that grows with x, largest for NaN."""
    bits = F4(x).view(I4)
    key = I4(bits ^ I4(I4(bits >> I4(31)) & _REST))
    return _REST if x != x else key


@helper
def of_value_key(key: int) -> float:
    """Return the x of `value_key`."""
    return I4(I4(key) ^ I4(I4(I4(key) >> I4(31)) & _REST)).view(F4)
