"""WAMBS: when to worry and how to avoid the misuse of Bayesian statistics (Depaoli & van de Schoot 2017), in our words."""

from __future__ import annotations

from ..format import level
from . import evidence
from .barg import WIDE
from .item import DONE, Answer, Item


def _priors(material) -> Answer:
    said = f"All priors are listed with their meaning in section “The model”, and beside the posterior in {evidence.section('learnt')}."
    return evidence.stated(material, "priors_justified", "Say what they express, and from where", said)


def _sensible(material) -> Answer:
    said = f"{evidence.outside(material)}; all quantities with their intervals are in section “The population” and those after it."
    return evidence.stated(material, "sensible", "Say whether these values make sense in your field", said)


def _reading(material) -> Answer:
    return Answer(
        DONE,
        f"Intervals are said to hold the quantity with {level(material.prob)} probability, given model and data; probabilities of an "
        "increase take the place of p values; section “How to read this”.",
    )


BEFORE, AFTER = "Before estimating the model", "After estimating, before the results"
INFLUENCE, RESULTS = "The influence of the priors", "After the results"
ITEMS = (
    Item("1", BEFORE, "Are the priors understood?", _priors),
    Item("2", AFTER, "Do the chains converge?", evidence.convergence),
    Item("3", AFTER, "Do they still after doubling the iterations?", evidence.doubling),
    Item("4", AFTER, "Do the posteriors hold enough information?", evidence.resolution),
    Item("5", AFTER, "Are the chains strongly autocorrelated?", evidence.autocorrelation),
    Item("6", AFTER, "Do the posteriors make substantive sense?", _sensible),
    Item("7", INFLUENCE, "Do other priors of the variances change the results?", lambda m: evidence.variants(
        m, ("wide_spreads",), "wider priors of the spreads")),
    Item("8", INFLUENCE, "Do non-informative priors change them?", lambda m: evidence.variants(
        m, WIDE, "wider priors and other half-lives")),
    Item("9", INFLUENCE, "Are the results stable in a sensitivity analysis?", evidence.sensitivity),
    Item("10", RESULTS, "Are they read and reported the Bayesian way?", _reading),
)  # fmt: skip
