"""The compiled loops of `fused_conv`: from a convolution to the pooled, rectified output, and back.

Maps as in layers.cpu.windows: z and gz (B, H, W, O); y and the gradient to it (B, Hp, Wp O); at, the winner's place in
its window, DEAD where the ReLU cut it off. bias stands once for every column of a row: (Wp O,).
"""

from __future__ import annotations

import numpy as np

from scs_study.layers.cpu.arithmetic import F4, I4, ONE, ZERO
from scs_study.layers.cpu.compiled import helper, kernel
from scs_study.layers.cpu.windows import back_column, back_pairs, column_by_value, copy, pairs_by_value

DEAD = 255
C0, C1, C2, C3, CD = I4(0), I4(1), I4(2), I4(3), I4(DEAD)


@helper
def _rectify(c, bias, place, y):
    for n in range(c.shape[0]):
        v = c[n] + bias[n]
        dead = v <= ZERO
        y[n] = ZERO if dead else v
        place[n] = CD if dead else place[n]


@kernel("void(f4[:,:,:,::1], f4[::1], i8, i8, u1[:,:,::1], f4[:,:,::1])")
def forward(z, bias, kh, kw, at, y):
    """Fill at and y."""
    batch, height, width, kernels = z.shape
    _, rows, columns = y.shape
    windows = columns // kernels
    ones = np.ones(width, F4)
    c, place = np.empty((windows, kernels), F4), np.zeros((windows, kernels), I4)
    flat, flat_place = c.reshape(columns), place.reshape(columns)
    for b in range(batch):
        for i in range(rows):
            inside, start = min(kh, height - i * kh), 0
            if kh == 2 and kw == 2 and inside == 2:
                start = min(width // 2, windows)
                pairs_by_value(z[b, 2 * i], z[b, 2 * i + 1], ones, ones, c, place, start)
            if start < windows:
                for a in range(inside):
                    for d in range(kw):
                        column_by_value(z[b, i * kh + a], ones, c, place, start, kw, d, I4(a * kw + d))
            _rectify(flat, bias, flat_place, y[b, i])
            copy(flat_place, at[b, i])


@helper
def _add_alive(g, place, sums):
    for n in range(g.shape[0]):
        sums[n] += ZERO if place[n] == CD else g[n]


@kernel("void(f4[:,:,::1], u1[:,:,::1], i8, i8, f4[:,:,:,::1], f4[::1])")
def backward(g, at, kh, kw, gz, sums):
    """Fill gz and add to sums (Wp O), the gradient to the bias."""
    batch, height, width, kernels = gz.shape
    _, rows, columns = g.shape
    windows = columns // kernels
    ones = np.full(width, ONE)
    place, u = np.empty((windows, kernels), I4), np.empty((windows, kernels), F4)
    flat_place, flat_u = place.reshape(columns), u.reshape(columns)
    for b in range(batch):
        for i in range(rows):
            copy(at[b, i], flat_place)
            copy(g[b, i], flat_u)
            _add_alive(g[b, i], flat_place, sums)
            inside, start = min(kh, height - i * kh), 0
            if kh == 2 and kw == 2 and inside == 2:
                start = min(width // 2, windows)
                back_pairs(u, place, ones, gz[b, 2 * i], C0, C1, start)
                back_pairs(u, place, ones, gz[b, 2 * i + 1], C2, C3, start)
            if start < windows:
                for a in range(inside):
                    for d in range(kw):
                        back_column(u, place, ones, gz[b, i * kh + a], start, kw, d, I4(a * kw + d))
            for a in range(inside):
                gz[b, i * kh + a, windows * kw :] = ZERO
        for h in range(rows * kh, height):
            gz[b, h] = ZERO
