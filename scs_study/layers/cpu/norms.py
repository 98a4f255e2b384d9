"""Lengths: of the patches that a kernel sees, and of the kernels; and the gradients through them.

Maps are float32 and channels last: x (B, H, W, C); a patch's length is r (B, Ho, Wo).
"""

from __future__ import annotations

import numpy as np

from scs_study.layers.cpu.arithmetic import F4, ONE, TWO, ZERO
from scs_study.layers.cpu.compiled import helper, in_any_order, kernel


@in_any_order
def _dot(u, v):
    total = ZERO
    for c in range(u.shape[0]):
        total += u[c] * v[c]
    return total


@helper
def first_seen(a, stride, padding):
    """Return the first output whose window has an input under its position a."""
    return max(0, -((a - padding) // stride))


@helper
def last_seen(a, size, outputs, stride, padding):
    """Return the output after the last one whose window has one of `size` inputs under its position a."""
    return min(outputs, (size - 1 + padding - a) // stride + 1)


@in_any_order
def _energy(x, e):
    """Fill e (W) with the sums of squares over the channels of x (W, C)."""
    if x.shape[1] == 3:  # an image
        for w in range(x.shape[0]):
            e[w] = x[w, 0] * x[w, 0] + x[w, 1] * x[w, 1] + x[w, 2] * x[w, 2]
        return
    for w in range(x.shape[0]):
        total = ZERO
        for c in range(x.shape[1]):
            total += x[w, c] * x[w, c]
        e[w] = total


@helper
def add(to, values):
    """Add values to as many others."""
    for n in range(to.shape[0]):
        to[n] += values[n]


@kernel("void(f4[:,:,:,::1], f4[:,:,::1], i8, i8, i8, i8, i8, i8, f4)")
def patch_norm(x, r, kh, kw, sh, sw, ph, pw, eps):
    """Fill r with sqrt(sum of x^2 over the patch + eps); the padding counts as zeros."""
    batch, height, width, _ = x.shape
    _, rows, columns = r.shape
    e, v = np.empty((height, width), F4), np.empty(width, F4)
    for b in range(batch):
        for h in range(height):
            _energy(x[b, h], e[h])
        for i in range(rows):
            v[:] = ZERO
            for a in range(kh):
                h = i * sh - ph + a
                if 0 <= h < height:
                    add(v, e[h])
            ri = r[b, i]
            ri[:] = eps
            for a in range(kw):
                low, high = first_seen(a, sw, pw), last_seen(a, width, columns, sw, pw)
                if sw == 1 and low < high:
                    add(ri[low:high], v[low - pw + a : high - pw + a])
                else:
                    for j in range(low, high):
                        ri[j] += v[j * sw - pw + a]
            for j in range(columns):
                ri[j] = np.sqrt(ri[j])


@helper
def _add_scaled(to, x, e):
    for w in range(x.shape[0]):
        f = TWO * e[w]
        for c in range(x.shape[1]):
            to[w, c] += f * x[w, c]


@kernel("void(f4[:,:,::1], f4[:,:,:,::1], f4[:,:,:,::1], i8, i8, i8, i8, i8, i8)")
def patch_norm_backward(ge, x, gx, kh, kw, sh, sw, ph, pw):
    """Add to gx 2 x (the sum of ge over the patches that an input is in); ge (B, Ho, Wo) is to squared lengths."""
    batch, height, width, _ = x.shape
    _, rows, columns = ge.shape
    e, v = np.empty(width, F4), np.empty(columns, F4)
    for b in range(batch):
        for h in range(height):
            v[:] = ZERO
            e[:] = ZERO
            for a in range(kh):
                i = (h + ph - a) // sh
                if 0 <= i < rows and i * sh == h + ph - a:
                    add(v, ge[b, i])
            for a in range(kw):
                low, high = first_seen(a, sw, pw), last_seen(a, width, columns, sw, pw)
                if sw == 1 and low < high:
                    add(e[low - pw + a : high - pw + a], v[low:high])
                else:
                    for j in range(low, high):
                        e[j * sw - pw + a] += v[j]
            _add_scaled(gx[b, h], x[b, h], e)


@helper
def _divide(values, by, to):
    for n in range(to.shape[0]):
        to[n] = values[n] / by


@helper
def _project(g, unit, along, f, to):
    for n in range(to.shape[0]):
        to[n] = (g[n] - along * unit[n]) * f


@kernel("void(f4[:,::1], f4[:,::1], f4[::1], f4)")
def unit_kernels(weight, unit, length, least):
    """Fill unit (O, n) with the kernels over their lengths, or over `least` where they are shorter, and length (O)."""
    for o in range(weight.shape[0]):
        size = np.sqrt(_dot(weight[o], weight[o]))
        size = least if size < least else size
        length[o] = size
        _divide(weight[o], size, unit[o])


@kernel("void(f4[:,::1], f4[:,::1], f4[::1], f4[:,::1], f4)")
def unit_kernels_backward(g, unit, length, gw, least):
    """Fill gw (O, n) with the gradient to the kernels of g (O, n), that to the unit kernels."""
    for o in range(unit.shape[0]):
        along = _dot(g[o], unit[o]) if length[o] > least else ZERO
        _project(g[o], unit[o], along, ONE / length[o], gw[o])
