"""A depthwise cosine similarity from its convolution on: every channel has lengths of patches of its own.

Maps are float32 and channels last: x (B, H, W C); z, c, y and their gradients (B, Ho, Wo C). The lengths are as large
as the output, so they are computed again on the way back instead of kept.
"""

from __future__ import annotations

import numpy as np

from scs_study.layers.cpu.arithmetic import F4, ONE, TWO, ZERO
from scs_study.layers.cpu.compiled import helper, kernel
from scs_study.layers.cpu.norms import add, first_seen, last_seen
from scs_study.layers.cpu.windows import raise_to, through_power


@helper
def _add_squares(to, x):
    for n in range(to.shape[0]):
        to[n] += x[n] * x[n]


@helper
def _energy_row(x, v, e, channels, i, kh, kw, sh, sw, ph, pw, eps):
    """Fill e (Wo C) with the sums of squares + eps under the windows of output row i of x (H, W C); v is (W C)."""
    width, columns = v.shape[0] // channels, e.shape[0] // channels
    v[:] = ZERO
    for a in range(kh):
        h = i * sh - ph + a
        if 0 <= h < x.shape[0]:
            _add_squares(v, x[h])
    e[:] = eps
    for d in range(kw):
        low, high = first_seen(d, sw, pw), last_seen(d, width, columns, sw, pw)
        if sw == 1 and low < high:
            add(e[low * channels : high * channels], v[(low - pw + d) * channels : (high - pw + d) * channels])
        else:
            for j in range(low, high):
                w = j * sw - pw + d
                add(e[j * channels : (j + 1) * channels], v[w * channels : (w + 1) * channels])


@helper
def _quotient(z, e, q, c):
    for n in range(z.shape[0]):
        c[n] = z[n] / (np.sqrt(e[n]) + q)


@kernel("void(f4[:,:,::1], f4[:,:,::1], f4, f4[::1], f4, i8, i8, i8, i8, i8, i8, i8, b1, f4[:,:,::1], f4[:,:,::1])")
def forward(x, z, q, p, eps, channels, kh, kw, sh, sw, ph, pw, keep, c, y):
    """Fill y, and c too if it is to be kept; otherwise c is room for one row. p is (Wo C,)."""
    batch, rows, columns = z.shape
    v, e = np.empty(x.shape[2], F4), np.empty(columns, F4)
    for b in range(batch):
        for i in range(rows):
            bc, ic = (b, i) if keep else (0, 0)
            _energy_row(x[b], v, e, channels, i, kh, kw, sh, sw, ph, pw, eps)
            _quotient(z[b, i], e, q, c[bc, ic])
            raise_to(c[bc, ic], p, y[b, i], eps)


@helper
def _through_quotient(u, c, e, q, gz, ge, gq):
    for n in range(u.shape[0]):
        r = np.sqrt(e[n])
        t = u[n] * (ONE / (r + q))
        to_length = -t * c[n]
        gz[n] = t
        gq[n] += to_length
        ge[n] = to_length / (TWO * r)


@kernel(
    "void(f4[:,:,::1], f4[:,:,::1], f4[:,:,::1], f4, f4[::1], f4, i8, i8, i8, i8, i8, i8, i8,"
    " f4[:,:,::1], f4[:,:,::1], f4[::1], f4[::1])"
)
def backward(g, x, c, q, p, eps, channels, kh, kw, sh, sw, ph, pw, gz, ge, gp, gq):
    """Fill gz and ge, the gradient to the squared lengths; add to gp (Wo C), in units of 1 / ln 2, and to gq (Wo C)."""
    batch, rows, columns = c.shape
    v, e, u = np.empty(x.shape[2], F4), np.empty(columns, F4), np.empty(columns, F4)
    for b in range(batch):
        for i in range(rows):
            _energy_row(x[b], v, e, channels, i, kh, kw, sh, sw, ph, pw, eps)
            through_power(g[b, i], c[b, i], p, eps, gp, u)
            _through_quotient(u, c[b, i], e, q, gz[b, i], ge[b, i], gq)


@helper
def _add_scaled(to, x, e):
    for n in range(to.shape[0]):
        to[n] += TWO * x[n] * e[n]


@kernel("void(f4[:,:,::1], f4[:,:,::1], f4[:,:,::1], i8, i8, i8, i8, i8, i8, i8)")
def energy_backward(ge, x, gx, channels, kh, kw, sh, sw, ph, pw):
    """Add to gx 2 x (the sum of ge over the patches that an input is in), all (B, ., . C)."""
    batch, height, width = x.shape[0], x.shape[1], x.shape[2] // channels
    rows, columns = ge.shape[1], ge.shape[2] // channels
    e, v = np.empty(width * channels, F4), np.empty(columns * channels, F4)
    for b in range(batch):
        for h in range(height):
            v[:] = ZERO
            e[:] = ZERO
            for a in range(kh):
                i = (h + ph - a) // sh
                if 0 <= i < rows and i * sh == h + ph - a:
                    add(v, ge[b, i])
            for d in range(kw):
                low, high = first_seen(d, sw, pw), last_seen(d, width, columns, sw, pw)
                if sw == 1 and low < high:
                    add(e[(low - pw + d) * channels : (high - pw + d) * channels], v[low * channels : high * channels])
                else:
                    for j in range(low, high):
                        w = j * sw - pw + d
                        add(e[w * channels : (w + 1) * channels], v[j * channels : (j + 1) * channels])
            _add_scaled(gx[b, h], x[b, h], e)
