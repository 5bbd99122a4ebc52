"""Effects of units or clinicians from standard normal coordinates, all blocks side by side, and the transposed derivative."""

import math

import numpy as np

from ...models.likelihood.kept import njit


@njit(nogil=True, error_model="numpy")
def blocks(predicted, information, ratio, grip, which, y, kept, out):
    """Effects of all blocks: R'R = I + D information D + G (D = diagonal of ``ratio``), out = (R'R)^-1 (D weight + g) + R^-1 y,

    with weight = (I + information) predicted, so that out is predicted + R^-1 y where D is I and nothing grips. G and g are zero but
    for the effect ``which`` (-1: none), where they are ``grip[0]`` and ``grip[1]``. ``kept[a, b]`` holds R[a, b], its last three
    columns mean, weight and y. Returns the sum of the logs of R's diagonals.
    """
    k, n = predicted.shape
    mean, weight, normal = kept[:, k], kept[:, k + 1], kept[:, k + 2]
    logs = 0.0
    product = np.ones(n)
    for a in range(k):
        w = weight[a]
        w[:] = predicted[a]
        for b in range(k):
            info, p = information[a, b], predicted[b]
            for i in range(n):
                w[i] += info[i] * p[i]
        normal[a, :] = y[a]
    for a in range(k):
        for b in range(a, k):
            r, info = kept[a, b], information[a, b]
            scale = ratio[a] * ratio[b]
            own = 1.0 if a == b else 0.0
            for i in range(n):
                r[i] = own + scale * info[i]
            if a == b == which:
                for i in range(n):
                    r[i] += grip[0, i]
            for c in range(a):
                left, right = kept[c, a], kept[c, b]
                for i in range(n):
                    r[i] -= left[i] * right[i]
            if a == b:
                for i in range(n):
                    r[i] = math.sqrt(r[i])
                    product[i] *= r[i]
            else:
                diagonal = kept[a, a]
                for i in range(n):
                    r[i] /= diagonal[i]
    for i in range(n):
        logs += math.log(product[i])
    for a in range(k):  # R' x = D weight + g
        m, w, diagonal = mean[a], weight[a], kept[a, a]
        for i in range(n):
            m[i] = ratio[a] * w[i]
        if a == which:
            for i in range(n):
                m[i] += grip[1, i]
        for b in range(a):
            r, other = kept[b, a], mean[b]
            for i in range(n):
                m[i] -= r[i] * other[i]
        for i in range(n):
            m[i] /= diagonal[i]
    for a in range(k - 1, -1, -1):  # R x = that, and R x = y
        m, o, diagonal = mean[a], out[a], kept[a, a]
        o[:] = y[a]
        for b in range(a + 1, k):
            r, other, others = kept[a, b], mean[b], out[b]
            for i in range(n):
                m[i] -= r[i] * other[i]
                o[i] -= r[i] * others[i]
        for i in range(n):
            m[i] /= diagonal[i]
            o[i] /= diagonal[i]
    for a in range(k):
        for i in range(n):
            out[a, i] += mean[a, i]
    return logs


@njit(nogil=True, error_model="numpy")
def blocks_back(information, ratio, which, kept, g, by_y, by_predicted, by_log_ratio, by_grip):
    """Derivatives of f(out) - sum of logs by y, predicted, ``grip`` and (added to) the logs of ``ratio``, given g, those of f by out."""
    k, n = g.shape
    mean, weight, normal = kept[:, k], kept[:, k + 1], kept[:, k + 2]
    solved = np.empty((k, n))  # (R'R)^-1 g
    inverse = np.zeros((k, k, n))  # of R, upper triangular
    outer = np.empty((k, k, n))  # the derivative by R'R: of the mean, of R^-1 y, and of the logs
    for a in range(k):
        out, diagonal = by_y[a], kept[a, a]
        out[:] = g[a]
        for b in range(a):
            r, other = kept[b, a], by_y[b]
            for i in range(n):
                out[i] -= r[i] * other[i]
        for i in range(n):
            out[i] /= diagonal[i]
    for a in range(k - 1, -1, -1):
        out, diagonal = solved[a], kept[a, a]
        out[:] = by_y[a]
        for b in range(a + 1, k):
            r, other = kept[a, b], solved[b]
            for i in range(n):
                out[i] -= r[i] * other[i]
        for i in range(n):
            out[i] /= diagonal[i]
            inverse[a, a, i] = 1.0 / diagonal[i]
        for b in range(a + 1, k):
            inv = inverse[a, b]
            for c in range(a + 1, b + 1):
                r, other = kept[a, c], inverse[c, b]
                for i in range(n):
                    inv[i] -= r[i] * other[i]
            for i in range(n):
                inv[i] /= diagonal[i]
    for a in range(k):
        for b in range(k):
            o, sa, sb, ma, mb = outer[a, b], solved[a], solved[b], mean[a], mean[b]
            for i in range(n):
                o[i] = -0.5 * (sa[i] * mb[i] + sb[i] * ma[i])
    for c in range(k):
        for d in range(c, k):
            left, y = by_y[c], normal[d]
            log_part = 0.5 if c == d else 0.0
            for a in range(c + 1):
                for b in range(d + 1):
                    inv, inv2, o, o2 = inverse[a, c], inverse[b, d], outer[a, b], outer[b, a]
                    if c == d:
                        for i in range(n):
                            o[i] -= inv[i] * inv2[i] * (0.5 * left[i] * y[i] + log_part)
                    else:
                        for i in range(n):
                            part = 0.5 * inv[i] * inv2[i] * left[i] * y[i]
                            o[i] -= part
                        for i in range(n):
                            o2[i] -= 0.5 * inv[i] * inv2[i] * left[i] * y[i]
    if which >= 0:
        for i in range(n):
            by_grip[0, i] = outer[which, which, i]
            by_grip[1, i] = solved[which, i]
    for a in range(k):
        s, w = solved[a], weight[a]
        total = 0.0
        for i in range(n):
            total += s[i] * w[i]
        for b in range(k):
            info, o = information[a, b], outer[b, a]
            more = 0.0
            for i in range(n):
                more += info[i] * o[i]
            total += 2.0 * ratio[b] * more
        by_log_ratio[a] += total * ratio[a]
        for i in range(n):
            s[i] *= ratio[a]
    for a in range(k):  # weight = (I + information) predicted
        out = by_predicted[a]
        out[:] = solved[a]
        for b in range(k):
            info, s = information[a, b], solved[b]
            for i in range(n):
                out[i] += info[i] * s[i]
