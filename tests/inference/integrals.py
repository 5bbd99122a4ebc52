"""Effects integrated out of small models by quadrature, and densities of one's own in place of a model's."""

import ctypes
import itertools
import warnings
from functools import cache

import numpy as np
from scipy import special

from equipoise import CapacityModel, datasets, simulate
from equipoise.inference.laplace.density import _CALL, Density
from equipoise.inference.laplace.inner import integrated
from equipoise.inference.laplace.laplace import laplace
from equipoise.inference.sampling import compile_model
from equipoise.models.design import build_design


@cache
def of_study(clinicians, surveys, units):
    """Laplace's approximation of a small simulated study."""
    model = CapacityModel()
    empty = datasets.design_study(clinicians=clinicians, surveys=surveys, units=units, jitter=0.2)
    study = simulate(model, empty, {"level": 60.0, "half_life": 1.5, "total_sd": 16.0}, seed=3).study
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba and PyTensor tell of caches
        compiled = compile_model(model.build(study))
    return laplace(compiled, model, study, build_design(model, study)[0])


def hermite(order, k):
    """Nodes (order^k, k), and logs of what a function's values there are multiplied by for its integral over (2 pi)^(k/2)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    grid = np.array(list(itertools.product(nodes, repeat=k))).reshape(order**k, k)
    logs = np.array(list(itertools.product(np.log(weights) - np.log(2 * np.pi) / 2, repeat=k))).reshape(order**k, k)
    return grid, logs.sum(axis=1) + 0.5 * np.square(grid).sum(axis=1)


def by_quadrature(found, point, order):
    """Log of the integral over the effects, their means and second moments by place.

    Clinicians are independent given their unit and units are independent, so that the joint density, with all but one at 0, tells
    what each contributes.
    """
    s, density = found.structure, Density(found.sampler())
    own, own_logs = hermite(order, s.clinician.shape[1])
    of_unit, unit_logs = hermite(order, s.unit.shape[1])
    y = np.zeros(s.size)
    y[s.population] = point
    mean, square = np.zeros(s.size), np.zeros(s.size)
    total = none = density(y)[0]
    for j, places in enumerate(s.unit):
        members = np.flatnonzero(s.unit_of == j)
        logs, moments = unit_logs - none, np.zeros((len(of_unit), members.size, 2, own.shape[1]))
        for n, at in enumerate(of_unit):
            y[places] = at
            base = density(y)[0]
            logs[n] += base
            for i, member in enumerate(members):
                values = own_logs.copy()
                for q, y[s.clinician[member]] in enumerate(own):
                    values[q] += density(y)[0] - base
                y[s.clinician[member]] = 0
                part = special.logsumexp(values)
                logs[n] += part
                moments[n, i] = np.exp(values - part) @ own, np.exp(values - part) @ np.square(own)
        y[places] = 0
        whole = special.logsumexp(logs)
        share = np.exp(logs - whole)
        total += whole
        mean[places], square[places] = share @ of_unit, share @ np.square(of_unit)
        for i, member in enumerate(members):
            mean[s.clinician[member]], square[s.clinician[member]] = np.tensordot(share, moments[:, i], 1)
    return total, mean, square


def called_by_address(log):
    """A C function of ``log``, which gives value and gradient at a point, and its address as `integrated` takes it (while it lives)."""

    def called(n, x, gradient, value, _):
        value[0], slope = log(np.ctypeslib.as_array(x, (n,)))
        np.ctypeslib.as_array(gradient, (n,))[:] = slope
        return 0 if np.isfinite(value[0]) else 4

    compiled = _CALL(called)
    return compiled, np.array([ctypes.cast(compiled, ctypes.c_void_p).value, 0], np.int64)


def at_zero(log, size, unit, clinician, unit_of, normals=None):
    """What `integrated` finds from effects at 0 on: log marginal, correction, mode, draw and score.

    ``log`` gives value and gradient at a point; ``unit`` (units, m) and ``clinician`` (clinicians, k) are places.
    """
    _compiled, call = called_by_address(log)
    y, draw, score = np.zeros(size), np.empty(size), np.zeros(size)
    places = (np.ascontiguousarray(np.transpose(p)) for p in (unit, clinician))
    normals = np.zeros(size) if normals is None else normals
    marginal = integrated(call, y, *places, np.array(unit_of), 1e-8, normals, draw, score, True)
    return *marginal, y, draw, score


NO_UNITS = np.empty((1, 0), int)
