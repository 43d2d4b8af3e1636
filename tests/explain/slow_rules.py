"""The rules of relevance as loops, from their formulas: slow, and independent of how the fast ones compute.

A layer is a list of connections (input, output, weight) between flat positions, found by walking kernels.
"""

from __future__ import annotations

import itertools

import numpy as np


def connections(weight, sizes, stride, padding, dilation, groups=1):
    """A convolution as connections. weight (O, I / groups, *kernel), input sizes -> list, output sizes."""
    outputs, inputs_of_group = weight.shape[:2]
    kernel = weight.shape[2:]
    across = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, p, d, k, s in zip(sizes, padding, dilation, kernel, stride, strict=True)
    ]
    shape_in = (inputs_of_group * groups, *sizes)
    shape_out = (outputs, *across)
    found = []
    for o in range(outputs):
        first = (o // (outputs // groups)) * inputs_of_group
        for place in itertools.product(*map(range, across)):
            for c in range(inputs_of_group):
                for tap in itertools.product(*map(range, kernel)):
                    at = [
                        y * s + t * d - p
                        for y, s, t, d, p in zip(place, stride, tap, dilation, padding, strict=True)
                    ]
                    if all(0 <= a < size for a, size in zip(at, sizes, strict=True)):
                        i = int(np.ravel_multi_index((first + c, *at), shape_in))
                        j = int(np.ravel_multi_index((o, *place), shape_out))
                        found.append((i, j, float(weight[(o, c, *tap)])))
    return found, shape_out


def matrix(weight):
    """A dense layer (O, I) as connections."""
    return [(i, o, float(weight[o, i])) for o in range(weight.shape[0]) for i in range(weight.shape[1])]


def sums(links, x, bias):
    """z_j = sum_i x_i w_ij + b_j, bias given for each output."""
    z = bias.astype(float).copy()
    for i, j, w in links:
        z[j] += x[i] * w
    return z


def slow_epsilon(links, x, bias, relevance, epsilon=0.0):
    z = sums(links, x, bias)
    below = z + np.where(z >= 0, epsilon, -epsilon)
    out = np.zeros_like(x)
    for i, j, w in links:
        if below[j]:
            out[i] += x[i] * w / below[j] * relevance[j]
    return out, sum(bias[j] / below[j] * relevance[j] for j in range(len(z)) if below[j])


def slow_alpha_beta(links, x, bias, relevance, alpha, beta, whole):
    plus, minus = np.maximum(bias, 0).astype(float), np.minimum(bias, 0).astype(float)
    for i, j, w in links:
        plus[j] += max(x[i] * w, 0)
        minus[j] += min(x[i] * w, 0)
    out, absorbed = np.zeros_like(x), 0.0
    for j in range(len(bias)):
        a, b = alpha, beta
        if whole and minus[j] == 0:
            a, b = 1.0, 0.0
        if whole and plus[j] == 0:
            a, b = 0.0, 1.0
        for parts, share, sign in ((plus, a, 1), (minus, b, -1)):
            if parts[j] == 0:
                continue
            absorbed += max(sign * bias[j], 0) * sign / parts[j] * share * relevance[j]
            for i, other, w in links:
                if other == j:
                    out[i] += max(sign * x[i] * w, 0) * sign / parts[j] * share * relevance[j]
    return out, absorbed


def slow_z_box(links, x, outputs, relevance, low, high):
    below = np.zeros(outputs)
    for i, j, w in links:
        below[j] += x[i] * w - low * max(w, 0) - high * min(w, 0)
    out = np.zeros_like(x)
    for i, j, w in links:
        if below[j] > 1e-12:
            out[i] += (x[i] * w - low * max(w, 0) - high * min(w, 0)) / below[j] * relevance[j]
    return out, sum(relevance[j] for j in range(outputs) if below[j] <= 1e-12)


def slow_flat(links, x, outputs, relevance):
    seen = np.zeros(outputs)
    for _, j, _ in links:
        seen[j] += 1
    out = np.zeros_like(x)
    for i, j, _ in links:
        out[i] += relevance[j] / seen[j]
    return out


def slow_winner(x, windows, relevance, shared):
    """x (...), windows: for each output the list of indices it looks at, in reading order."""
    out = np.zeros_like(x)
    for window, given in zip(windows, relevance, strict=True):
        values = [x[at] for at in window]
        best = [at for at in window if x[at] == max(values)]
        for at in best if shared else best[:1]:
            out[at] += given / (len(best) if shared else 1)
    return out


def slow_vlad(d, a, c, relevance):
    """d (S, F), a (S, K), c (K, F), relevance (K, F) -> (S, F), what the centroids took."""
    out, absorbed = np.zeros_like(d), 0.0
    for k in range(c.shape[0]):
        for f in range(c.shape[1]):
            whole = sum(a[s, k] * (d[s, f] - c[k, f]) for s in range(len(d)))
            for s in range(len(d)):
                out[s, f] += a[s, k] * d[s, f] / whole * relevance[k, f]
                absorbed -= a[s, k] * c[k, f] / whole * relevance[k, f]
    return out, absorbed
