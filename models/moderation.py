"""Effects of interventions that differ between clinicians: by covariates, by unit, and by clinician.

A product with an intervention in a formula, ``mindfulness * baseline_stress``, lets the intervention's effect on that
lever depend on the covariate (as it is at the average clinician, the effect itself is what it would be without). Units
and clinicians have deviations of the change of log C*, shrunk by a common standard deviation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ..datasets.errors import UserError
from .formulas import FUNCTIONS, check_formula, design_columns
from .terms import clinician_means, occasion_weights

VARYING = ("none", "unit", "clinician", "both")
# numbers from which a spread of effects can be told from a prior at all
LEAST_UNITS = 8
LEAST_CLINICIANS = 10


@dataclass(frozen=True)
class Moderation:
    """What effects vary with.

    Attributes
    ----------
    names : tuple of str
        One for each column, such as ``"mindfulness:baseline_stress"``.
    intervention : tuple of int
        The intervention that each column moderates.
    on_alpha, on_beta : bool arrays (columns)
    values : float array (clinicians x columns)
        Centred over clinicians, and scaled by the standard deviation unless 0/1.
    scale : float array (columns)
    by_unit, by_clinician : tuple of int
        Interventions whose effects vary by unit and by clinician.
    """

    names: tuple[str, ...]
    intervention: tuple[int, ...]
    on_alpha: np.ndarray
    on_beta: np.ndarray
    values: np.ndarray
    scale: np.ndarray
    by_unit: tuple[int, ...] = ()
    by_clinician: tuple[int, ...] = ()

    def varies(self, k: int) -> bool:
        """Whether the effect of intervention k differs between clinicians."""
        return k in self.intervention or k in self.by_unit or k in self.by_clinician


def split_formula(formula: str, columns, interventions, where: str) -> tuple[str, dict[str, str]]:
    """The formula without its products with interventions, and what moderates each intervention.

    Raises
    ------
    UserError
        For an intervention that stands alone (it enters by itself), or products of two interventions.
    """
    names = [name for name in interventions if name not in (*columns, *FUNCTIONS)]
    if not any(re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", formula) for name in names):
        return formula, {}
    from formulaic import Formula
    from formulaic.parser import DefaultFormulaParser

    check_formula(formula, [*columns, *names])
    try:
        parsed = Formula("1 + " + formula, _parser=DefaultFormulaParser(feature_flags=set()))
    except Exception as error:
        raise UserError(f"{where} = {formula!r} cannot be read: {str(error).splitlines()[0]}") from None
    plain, moderated, alone = [], {}, []
    for term in parsed:
        factors = [f.expr for f in term.factors]
        programmes = [f for f in factors if f in names]
        others = ":".join(_quoted(f, columns) for f in factors if f not in (*names, "1"))
        if any(name in names for f in factors if f not in (*names, *columns) for name in re.findall(r"[\w.]+", f)):
            raise UserError(f"{where} = {formula!r}: an intervention cannot stand inside a transform.")
        if len(programmes) > 1:
            raise UserError(
                f"{where} = {formula!r}: {' and '.join(programmes)} cannot be multiplied; effects of programmes add up "
                "on the log scale."
            )
        if not programmes:
            plain += [others] if others else []
        elif others:
            moderated.setdefault(programmes[0], []).append(others)
        else:
            alone += programmes
    for name in alone:
        if name not in moderated:
            raise UserError(
                f"{where} = {formula!r}: {name!r} is an intervention and enters the model by itself; "
                "leave it out of the formula, or multiply it with what its effect depends on."
            )
    if not any([f.expr for f in term.factors] == ["1"] for term in parsed):
        plain.insert(0, "0")  # without the intercept: refused where the formula is evaluated
    return " + ".join(plain), {name: " + ".join(parts) for name, parts in moderated.items()}


def _quoted(name: str, columns) -> str:
    return f"`{name}`" if name in columns and not re.fullmatch(r"[A-Za-z_][\w.]*", name) else name


def build_moderation(study, moderated, acts, by_unit, by_clinician) -> Moderation:
    """What the effects of a study's interventions vary with.

    Parameters
    ----------
    study : Study
    moderated : mapping
        "replenishment" and "depletion" -> what moderates each intervention there, as from `split_formula`.
    acts : pair of bool arrays (interventions)
        Whether each intervention acts on alpha, and on beta.
    by_unit, by_clinician : sequences of int
        Interventions whose effects vary by unit and by clinician.

    Raises
    ------
    UserError
        If a moderator changes within a clinician, is the same for all, or acts on a lever that the intervention has not.
    """
    columns = list(study.covariates)
    clinician = study.occasions["clinician"].to_numpy()
    weights, count = occasion_weights(study), study.n_clinicians
    found: dict[tuple[int, str], list] = {}
    for lever, option, on in zip(("alpha", "beta"), ("replenishment", "depletion"), acts, strict=True):
        for name, formula in moderated[option].items():
            k = list(study.interventions).index(name)
            if not on[k]:
                raise UserError(
                    f"{option}: {name} does not act on {option}, so its effect there cannot depend on {formula}."
                )
            matrix = design_columns(formula, study.occasions, columns)
            for column in matrix:
                x = matrix[column].to_numpy(float)
                mean = clinician_means(x[:, None], clinician, weights, count)[:, 0]
                if np.abs(x - mean[clinician]).max() > 1e-9 * max(1.0, np.abs(x).max()):
                    raise UserError(
                        f"{option}: {column!r} changes within a clinician, so it cannot say for whom {name} works; "
                        "use its value before the programme, or the clinician's mean, as a column of its own."
                    )
                if np.ptp(mean) <= 1e-9 * max(1.0, np.abs(x).max()):  # rounding in the means is no difference
                    raise UserError(f"{option}: {column!r} is the same for all clinicians, so {name} cannot depend on it.")
                found.setdefault((k, column), [mean, set()])[1].add(lever)
    scaled, scales = [], []
    for mean, _ in found.values():
        scale = 1.0 if set(np.unique(mean)) <= {0.0, 1.0} else mean.std()
        scaled.append((mean - mean.mean()) / scale)
        scales.append(scale)
    return Moderation(
        names=tuple(f"{study.interventions[k]}:{column}" for k, column in found),
        intervention=tuple(k for k, _ in found),
        on_alpha=np.array(["alpha" in levers for _, levers in found.values()], bool),
        on_beta=np.array(["beta" in levers for _, levers in found.values()], bool),
        values=np.column_stack(scaled) if found else np.zeros((count, 0)),
        scale=np.array(scales, float),
        by_unit=tuple(by_unit),
        by_clinician=tuple(by_clinician),
    )


def deviations(p, design, gamma_alpha, gamma_beta) -> dict[int, tuple]:
    """By intervention whose effect varies: what is added to its change of log C* and of log beta (clinicians each)."""
    m = design.moderation
    out = {}
    for k in range(len(design.interventions)):
        if not m.varies(k):
            continue
        level = rate = np.zeros(design.n_clinicians)
        columns = [c for c, at in enumerate(m.intervention) if at == k]
        if columns:
            values = m.values[:, columns]
            level = level + values @ (gamma_alpha[columns] - gamma_beta[columns])
            rate = rate + values @ gamma_beta[columns]
        change = np.zeros(design.n_clinicians)
        if k in m.by_unit:
            n = m.by_unit.index(k)
            change = change + (p["effect_unit_sd"][n] * p["effect_unit_z"][n])[design.unit_code]
        if k in m.by_clinician:
            n = m.by_clinician.index(k)
            change = change + p["effect_clinician_sd"][n] * p["effect_clinician_z"][n]
        # the common speed-up does not vary, so a change is shared between the levers that the intervention has
        share = 0.5 if design.on_alpha[k] and design.on_beta[k] else float(design.on_beta[k])
        out[k] = (level + change, rate - share * change)
    return out
