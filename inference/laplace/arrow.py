"""The effects' precision as factored blocks, in compiled code: each clinician's own, how it follows its unit, and each unit's.

With A_i the block of clinician i, B_i that between it and its unit, and S_j the unit's own block less the sum over its clinicians of
B_i' A_i^-1 B_i, ``own`` holds the factors of A_i, ``coupling`` A_i^-1 B_i, and ``schur`` the factors of S_j. Places are where an
effect lies in the vector of all coordinates. (`curvature.Latent` is the same for arrays.)
"""

import math

import numpy as np

from ...models.likelihood.kept import njit


@njit(nogil=True, error_model="numpy")
def factor(a, least):
    """Lower triangular factor of each symmetric matrix of ``a`` (n, k, k), in place; pivots count as at least ``least``. Its logs' sum."""
    n, k = a.shape[0], a.shape[1]
    logs = 0.0
    for i in range(n):
        for c in range(k):
            for r in range(c, k):
                total = 0.5 * (a[i, r, c] + a[i, c, r])
                for b in range(c):
                    total -= a[i, r, b] * a[i, c, b]
                if r == c:
                    a[i, c, c] = math.sqrt(max(total, least))
                    logs += math.log(a[i, c, c])
                else:
                    a[i, r, c] = total / a[i, c, c]
    return logs


@njit(nogil=True, error_model="numpy")
def forward(low, v):
    """Solve ``low`` x = v for one block, in place."""
    for r in range(v.size):
        for c in range(r):
            v[r] -= low[r, c] * v[c]
        v[r] /= low[r, r]


@njit(nogil=True, error_model="numpy")
def backward(low, v):
    """Solve ``low``' x = v for one block, in place."""
    for r in range(v.size - 1, -1, -1):
        for c in range(r + 1, v.size):
            v[r] -= low[c, r] * v[c]
        v[r] /= low[r, r]


@njit(nogil=True, error_model="numpy")
def solve(g, unit, clinician, unit_of, own, coupling, schur, step):
    """Fill ``step`` with the precision's inverse times ``g``, at the effects' places."""
    m, units = unit.shape
    k, count = clinician.shape
    taken = np.zeros((units, m))
    one, other = np.empty(k), np.empty(m)
    for i in range(count):
        for a in range(k):
            for b in range(m):
                taken[unit_of[i], b] += coupling[i, a, b] * g[clinician[a, i]]
    for j in range(units):
        for a in range(m):
            other[a] = g[unit[a, j]] - taken[j, a]
        forward(schur[j], other)
        backward(schur[j], other)
        for a in range(m):
            step[unit[a, j]] = other[a]
    for i in range(count):
        for a in range(k):
            one[a] = g[clinician[a, i]]
        forward(own[i], one)
        backward(own[i], one)
        for a in range(k):
            total = one[a]
            for b in range(m):
                total -= coupling[i, a, b] * step[unit[b, unit_of[i]]]
            step[clinician[a, i]] = total


@njit(nogil=True, error_model="numpy")
def spread(z_unit, z_clinician, unit, clinician, unit_of, own, coupling, schur, out):
    """Fill ``out`` with standard normal numbers (units, m), (count, k) turned into deviations with the effects' precision."""
    m, units = unit.shape
    k, count = clinician.shape
    other, one = np.empty(m), np.empty(k)
    for j in range(units):
        for a in range(m):
            other[a] = z_unit[j, a]
        backward(schur[j], other)
        for a in range(m):
            out[unit[a, j]] = other[a]
    for i in range(count):
        for a in range(k):
            one[a] = z_clinician[i, a]
        backward(own[i], one)
        for a in range(k):
            total = one[a]
            for b in range(m):
                total -= coupling[i, a, b] * out[unit[b, unit_of[i]]]
            out[clinician[a, i]] = total
