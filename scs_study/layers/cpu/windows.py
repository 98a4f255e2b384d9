"""From a convolution to the layer's output in one pass: scale, the pool's winner, power; and the way back.

Maps are float32 and channels last: z, the convolution's result (B, H, W, O); r, the lengths of the patches (B, H, W);
c, the winner of each kh x kw window of z / (r + q) (B, Hp, Wp, O); at, its place in the window (row by row); y and the
gradient to it (B, Hp, Wp O), the power of c. p stands here once for every column of a row: (Wp O,).

Without a pool both are 1. Without norms (`scaled` false) c is the winner of z, and r is not looked at. Windows that
reach over the edge hold what is there of them; rows and columns beyond the last window belong to none.
"""

from __future__ import annotations

import numpy as np

from scs_study.layers.cpu.arithmetic import (
    F4,
    I4,
    ONE,
    TWO,
    ZERO,
    exp2,
    log2,
    magnitude_key,
    of_magnitude_key,
    of_value_key,
    value_key,
    with_sign_of,
)
from scs_study.layers.cpu.compiled import helper, in_any_order, kernel

C0, C1, C2, C3 = I4(0), I4(1), I4(2), I4(3)


@helper
def raise_to(c, p, y, eps):
    """Fill y with sgn(c) (|c| + eps)^p.

    In two loops: in one, a processor waits for the long chain of one output before it can begin enough others.
    """
    for n in range(c.shape[0]):
        y[n] = p[n] * log2(abs(c[n]) + eps)
    for n in range(c.shape[0]):
        v = c[n]
        y[n] = ZERO if v == ZERO else with_sign_of(v, exp2(y[n]))


@helper
def through_power(g, c, p, eps, gp, u):
    """Fill u with the gradient to c of g, that to the power of c; add that to p, over ln 2, to gp."""
    for n in range(c.shape[0]):
        u[n] = log2(abs(c[n]) + eps)
    for n in range(c.shape[0]):
        v, logarithm = c[n], u[n]
        size = abs(v) + eps
        t = g[n] * exp2((p[n] - ONE) * logarithm)
        t = ZERO if v == ZERO else t
        gp[n] += with_sign_of(v, ONE) * t * (size * logarithm)
        u[n] = t * p[n]


def _winners(key, value):
    """Return the two searches for the winners of a row of windows, by an order of floats and its inverse."""

    @helper
    def of_pairs(top, bottom, st, sb, c, place, pairs):
        """Fill c and place (Wp, O) for whole 2 x 2 windows, of which there are `pairs`."""
        for j in range(pairs):
            left, right = 2 * j, 2 * j + 1
            s0, s1, s2, s3 = st[left], st[right], sb[left], sb[right]
            for o in range(c.shape[1]):
                best, n = key(top[left, o] * s0), C0
                other = key(top[right, o] * s1)
                n = C1 if other > best else n
                best = max(other, best)
                other = key(bottom[left, o] * s2)
                n = C2 if other > best else n
                best = max(other, best)
                other = key(bottom[right, o] * s3)
                n = C3 if other > best else n
                best = max(other, best)
                c[j, o] = value(best)
                place[j, o] = n

    @helper
    def of_column(z, s, c, place, start, kw, d, n):
        """Let column d of a row z of each window, place n, compete; the first place sets c and place (Wp, O)."""
        for j in range(start, c.shape[0]):
            x = j * kw + d
            if x >= z.shape[0]:
                continue
            f = s[x]
            if n == C0:
                for o in range(c.shape[1]):
                    c[j, o] = z[x, o] * f
                    place[j, o] = C0
            else:
                for o in range(c.shape[1]):
                    v, w = c[j, o], z[x, o] * f
                    wins = key(w) > key(v)
                    c[j, o] = w if wins else v
                    place[j, o] = n if wins else place[j, o]

    return of_pairs, of_column


pairs_by_size, column_by_size = _winners(magnitude_key, of_magnitude_key)
pairs_by_value, column_by_value = _winners(value_key, of_value_key)


@helper
def _scale(r, s, q, scaled):
    for j in range(s.shape[0]):
        s[j] = ONE / (r[j] + q) if scaled else ONE


@helper
def _times(z, s, c):
    for j in range(c.shape[0]):
        f = s[j]
        for o in range(c.shape[1]):
            c[j, o] = z[j, o] * f


@helper
def copy(values, to):
    """Fill `to` with values, in its own type."""
    for n in range(to.shape[0]):
        to[n] = values[n]


@kernel(
    "void(f4[:,:,:,::1], f4[:,:,::1], f4, f4[::1], f4, i8, i8, b1, b1, b1, f4[:,:,:,::1], u1[:,:,::1], f4[:,:,::1])"
)
def forward(z, r, q, p, eps, kh, kw, by_size, scaled, keep, c, at, y):
    """Fill y, and c and at too if they are to be kept; otherwise c is room for one row of windows and at is unused."""
    batch, height, width, kernels = z.shape
    _, rows, columns = y.shape
    windows = columns // kernels
    s, place = np.empty((kh, width), F4), np.empty((windows, kernels), I4)
    flat_place, flat = place.reshape(columns), c.reshape(c.shape[0], c.shape[1], columns)
    for b in range(batch):
        for i in range(rows):
            bc, ic = (b, i) if keep else (0, 0)
            inside = min(kh, height - i * kh)
            for a in range(inside):
                _scale(r[b, i * kh + a] if scaled else s[a], s[a], q, scaled)
            if kh * kw == 1:
                _times(z[b, i], s[0], c[bc, ic])
            else:
                start = 0
                if kh == 2 and kw == 2 and inside == 2:
                    start = min(width // 2, windows)
                    if by_size:
                        pairs_by_size(z[b, 2 * i], z[b, 2 * i + 1], s[0], s[1], c[bc, ic], place, start)
                    else:
                        pairs_by_value(z[b, 2 * i], z[b, 2 * i + 1], s[0], s[1], c[bc, ic], place, start)
                if start < windows:
                    for a in range(inside):
                        for d in range(kw):
                            n = I4(a * kw + d)
                            if by_size:
                                column_by_size(z[b, i * kh + a], s[a], c[bc, ic], place, start, kw, d, n)
                            else:
                                column_by_value(z[b, i * kh + a], s[a], c[bc, ic], place, start, kw, d, n)
                if keep:
                    copy(flat_place, at[b, i])
            raise_to(flat[bc, ic], p, y[b, i], eps)


@helper
def back_pairs(u, place, s, gz, left, right, pairs):
    """Fill one row of the gradient to z under whole 2 x 2 windows, in which it has the places `left` and `right`."""
    for j in range(pairs):
        s0, s1 = s[2 * j], s[2 * j + 1]
        for o in range(u.shape[1]):  # two loops: in one, there are too many arrays for the compiler to tell apart
            gz[2 * j, o] = u[j, o] * s0 if place[j, o] == left else ZERO
        for o in range(u.shape[1]):
            gz[2 * j + 1, o] = u[j, o] * s1 if place[j, o] == right else ZERO


@in_any_order
def _sums_pairs(u, c, place, et, eb, pairs):
    """Fill the rows under whole 2 x 2 windows with the sums of u c over the kernels that a place won."""
    for j in range(pairs):
        d0, d1, d2, d3 = ZERO, ZERO, ZERO, ZERO
        for o in range(u.shape[1]):
            n, w = place[j, o], u[j, o] * c[j, o]
            d0 += w if n == C0 else ZERO
            d1 += w if n == C1 else ZERO
            d2 += w if n == C2 else ZERO
            d3 += w if n == C3 else ZERO
        et[2 * j], et[2 * j + 1], eb[2 * j], eb[2 * j + 1] = d0, d1, d2, d3


@helper
def back_column(u, place, s, gz, start, kw, d, n):
    """Do what `back_pairs` does for column d of one row, place n, from window `start` on."""
    for j in range(start, u.shape[0]):
        x = j * kw + d
        if x < gz.shape[0]:
            f = s[x]
            for o in range(u.shape[1]):
                gz[x, o] = u[j, o] * f if place[j, o] == n else ZERO


@in_any_order
def _sums_column(u, c, place, e, start, kw, d, n):
    """As `_sums_pairs` for column d of one row, place n, from window `start` on."""
    for j in range(start, u.shape[0]):
        total = ZERO
        for o in range(u.shape[1]):
            total += u[j, o] * c[j, o] if place[j, o] == n else ZERO
        if j * kw + d < e.shape[0]:
            e[j * kw + d] = total


@in_any_order
def _sums(u, c, e):
    for j in range(u.shape[0]):
        total = ZERO
        for o in range(u.shape[1]):
            total += u[j, o] * c[j, o]
        e[j] = total


@helper
def _to_energy(e, r, s):
    """Turn the sums of u c into the gradient to the squared lengths; return their sum, the gradient to q."""
    total = 0.0
    for j in range(e.shape[0]):
        t = -e[j] * s[j]
        total += t
        e[j] = t / (TWO * r[j])
    return total


@kernel(
    "f8(f4[:,:,::1], f4[:,:,:,::1], u1[:,:,::1], f4[:,:,::1], f4, f4[::1], f4, i8, i8, b1,"
    " f4[:,:,:,::1], f4[:,:,::1], f4[::1])"
)
def backward(g, c, at, r, q, p, eps, kh, kw, scaled, gz, ge, gp):
    """Fill gz, and ge (B, H, W), the gradient to the squared lengths; add to gp (Wp O); return the gradient to q.

    gp is in units of 1 / ln 2.
    """
    batch, height, width, kernels = gz.shape
    _, rows, columns = g.shape
    windows = columns // kernels
    s, e = np.empty((kh, width), F4), np.empty((kh, width), F4)
    place, u = np.zeros((windows, kernels), I4), np.empty((windows, kernels), F4)
    flat_place, flat_u = place.reshape(columns), u.reshape(columns)
    flat = c.reshape(batch, rows, columns)
    total = 0.0
    for b in range(batch):
        for i in range(rows):
            through_power(g[b, i], flat[b, i], p, eps, gp, flat_u)
            inside = min(kh, height - i * kh)
            for a in range(inside):
                _scale(r[b, i * kh + a] if scaled else s[a], s[a], q, scaled)
            if kh * kw == 1:
                _times(u, s[0], gz[b, i])
                if scaled:
                    _sums(u, c[b, i], e[0])
            else:
                copy(at[b, i], flat_place)
                start = 0
                if kh == 2 and kw == 2 and inside == 2:
                    start = min(width // 2, windows)
                    back_pairs(u, place, s[0], gz[b, 2 * i], C0, C1, start)
                    back_pairs(u, place, s[1], gz[b, 2 * i + 1], C2, C3, start)
                    if scaled:
                        _sums_pairs(u, c[b, i], place, e[0], e[1], start)
                if start < windows:
                    for a in range(inside):
                        for d in range(kw):
                            n = I4(a * kw + d)
                            back_column(u, place, s[a], gz[b, i * kh + a], start, kw, d, n)
                            if scaled:
                                _sums_column(u, c[b, i], place, e[a], start, kw, d, n)
            for a in range(inside):
                if windows * kw < width:
                    gz[b, i * kh + a, windows * kw :] = ZERO
                    e[a, windows * kw :] = ZERO
                if scaled:
                    h = i * kh + a
                    total += _to_energy(e[a], r[b, h], s[a])
                    copy(e[a], ge[b, h])
        for h in range(rows * kh, height):
            gz[b, h] = ZERO
            if scaled:
                ge[b, h] = ZERO
    return total
