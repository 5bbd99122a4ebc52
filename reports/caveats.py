"""Sentences on what the data cannot tell, and on what the estimates rest."""

from __future__ import annotations

import numpy as np

from ..inference.convergence import RHAT_LIMIT
from ..models.capacity import SPREADS
from .format import count, listed, name, number, percent, probability

# share of the half-life's prior variance below which the data have hardly spoken
LITTLE_LEARNT = 0.3
# ... and above which they decide (posterior standard deviation half the prior's)
MUCH_LEARNT = 0.75
# posterior correlation of the effects on both levers from which it is said that they go together
CONFOUNDED = 0.7
# probability of one lever below which it is said that the lever cannot be told
PROBABLE = 0.8
# difference between two probabilities of the lever from which it is said to turn
TURNED = 0.2


def levers(material) -> list[str]:
    """By which lever each intervention works, or that it cannot be told; nothing on those with one lever only."""
    if material.draws < 10:
        return []
    table = material.lever_table
    out = []
    own = material.fit.model.spread
    for row in table[(table["zero"] == 0) & (table["spread"] == own)].itertuples():
        p, before = row.p_replenishment, number(row.p_prior, 2)
        before_likely = number(row.p_prior if p > 0.5 else 1 - row.p_prior, 2)
        likely = probability(max(p, 1 - p), material.draws)
        rises = row.replenishment_median + row.depletion_median > 0
        lever = ("more" if rises else "less") + " replenishment" if p > 0.5 else ("slower" if rises else "faster") + " depletion"
        if max(p, 1 - p) < PROBABLE or not np.isfinite(row.share_median):
            said = (
                f"By which lever {name(row.intervention)} works cannot be told: the probability that it is mostly "
                f"replenishment is {probability(p, material.draws)} ({before} before the data)."
            )
        else:
            sure = "works" if max(p, 1 - p) > 1 - (1 - material.prob) / 2 else "probably works"
            said = (
                f"{name(row.intervention)} {sure} mostly by {lever} (probability {likely}; {before_likely} before the data)."
            )
        if abs(row.correlation) > CONFOUNDED:
            said += (
                f" Its effects on the two levers go together in the posterior (correlation {number(-row.correlation, 2)}), "
                "so that the change of C* is better known than its parts."
            )
        out.append(said + _true_lever(material, row.intervention))
    return out


def _true_lever(material, intervention: str) -> str:
    """The lever of a simulated study, where the truth is known."""
    given = material.truth.get("effects")
    if given is None or not {"theta_alpha", "theta_beta"} <= set(given):
        return ""
    row = given[given["intervention"].astype(str) == intervention]
    if row.empty:
        return ""
    more, slower = float(row["theta_alpha"].iloc[0]), -float(row["theta_beta"].iloc[0])
    if more + slower == 0 or more == slower:
        return " In truth (simulated) it has no lever that does more than the other."
    mostly = (more > slower) == (more + slower > 0)
    return f" In truth (simulated) it is mostly {'replenishment' if mostly else 'depletion'}."


def lever_by_spread(material) -> list[str]:
    """Whether the lever is the same where one omega, or one sigma, is shared by all."""
    if material.draws < 10:
        return []
    table = material.lever_table
    table = table[table["zero"] == 0]
    own = material.fit.model.spread
    if (table["spread"] == own).all():
        return []
    others = sorted(set(table["spread"]) - {own}, key=SPREADS.index)
    out = []
    for label, rows in table.groupby("intervention", sort=False):
        p = rows.set_index("spread")["p_replenishment"]
        told = listed([f"{probability(p[s], material.draws)} with {_SPREADS[s]}" for s in others if s in p])
        # by more than chance and rounding would make of one half
        turned = any((p[s] > 0.5) != (p[own] > 0.5) and abs(p[s] - p[own]) > TURNED for s in others if s in p)
        out.append(
            f"{name(label)}: the probability that it is mostly replenishment, {probability(p[own], material.draws)} with "
            f"{_SPREADS[own]}, is {told}"
            + ("; the lever turns with the assumption, so do not build on it." if turned else ".")
        )
    unsure = table[(table["spread"] != own) & (table["rhat"] > RHAT_LIMIT)]["spread"].unique()
    if len(unsure):
        out.append(f"The refit with {listed([_SPREADS[s] for s in unsure])} has not converged (R-hat above {RHAT_LIMIT}).")
    return out


_SPREADS = {
    "free": "a spread of each clinician's own",
    "shared_omega": "one stationary spread for all",
    "shared_sigma": "one diffusion for all",
}


def designs(material) -> list[str]:
    """What each programme's study design cannot tell."""
    warned: dict[str, list[str]] = {}
    for design in material.designs:
        for text in design["warnings"]:
            warned.setdefault(text, []).append(name(design["intervention"]))
    everyone = len(material.designs)
    return [text if everyone == 1 else f"{listed(names)}: {text}" for text, names in warned.items()]


def limits(material) -> list[str]:
    """What these data cannot tell, and what the estimates rest on."""
    return [s for s in (*designs(material), half_life(material), *lever_limits(material), _individuals(material), outside(material),
                        _few_answers(material), selection(material)) if s]  # fmt: skip


def half_life(material) -> str:
    table = material.learnt
    row = table[table["quantity"] == "half_life"] if len(table) else table
    if not len(row) or material.draws < 10:
        return ""
    share = max(0.0, float(row["learnt"].iloc[0]))
    if share < LITTLE_LEARNT:
        return (
            "α and β are not told apart by these data: the posterior of the half-life is about as wide as its prior "
            "(its "
            f"variance on the log scale shrank by {percent(share)} only). What is known is their ratio C*; statements "
            "on α and β "
            "alone rest on the prior."
        )
    if material.fit.doubtful:  # draws that have not converged are too narrow rather than too wide
        return ""
    told = (
        "the α and β of the median clinician are told apart by the data and not by the prior alone"
        if share >= MUCH_LEARNT
        else "the α and β of the median clinician are told apart in part by the data and in part by that prior"
    )
    return f"The data took {percent(share)} off the variance of the half-life's prior (on the log scale): {told}."


def lever_limits(material) -> list[str]:
    """By which lever interventions work, and what that depends on."""
    found = levers(material)
    if found:
        found.append(
            "The lever also depends on where the scale has its zero: moving it changes the effect on replenishment, "
            "but neither "
            "the effect on depletion nor the change of C* in points."
        )
        found += lever_by_spread(material)
    return found


def _individuals(material) -> str:
    n = len(material.clinician_names)
    if n < 2 or material.draws < 10:
        return ""
    table = material.clinician_table
    edge = (1 - material.prob) / 2
    apart = {}
    for quantity in ("capacity", "beta"):
        p = table.loc[table["quantity"] == quantity, "p_above_population"]
        apart[quantity] = int(((p < edge) | (p > 1 - edge)).sum())
    return (
        f"Of {count(n, 'clinician')}, {apart['capacity']} can be told from the population's median clinician by their "
        "C* and "
        f"{apart['beta']} by their β (probability of lying on one side above {number(1 - edge, 3)}); the estimates of "
        "the "
        "others lean on the population."
    )


def outside(material) -> str:
    """How many draws lie beyond the ends of the scale."""
    found = material.outside
    beyond = [
        f"{percent(share)} lie {where}"
        for share, where in ((found.above, "above 100"), (found.below, "below 0"))
        if share
    ]
    if not beyond:
        return ""
    who = f"; in {count(found.clinicians, 'clinician')} more than 5 % of the draws do" if found.clinicians else ""
    return (
        f"Of all draws of the clinicians' C*, {listed(beyond)}{who}. The model is linear and does not know the ends "
        "of the "
        "scale, so such values mean “at the end of the scale”."
    )


def _few_answers(material) -> str:
    once, n = material.description["once"], material.description["clinicians"]
    if not once:
        return ""
    verb = "has" if once == 1 else "have"
    return (
        f"{once} of {count(n, 'clinician')} {verb} one answered survey or none: their β, and most of their C*, are "
        "what "
        "the population makes likely."
    )


def selection(material) -> str:
    if not material.interventions or material.fit.model.is_randomised:
        return ""
    return (
        "Exposure is not said to have been randomised: what is called an effect here is one only if, given the "
        "adjustments of the model, nothing else set the exposed clinicians and times apart from the others."
    )
