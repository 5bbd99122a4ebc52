"""Saturating dose: more of it adds less (Emax); a dose of 1 stays 1. Without it a dose acts in proportion."""

from .shape import Shape

SATURATING = Shape(
    name="saturating",
    meaning="its dose saturates (half of what an unlimited dose would do at half_dose)",
    formula="dose -> dose (1 + half_dose)/(dose + half_dose)",
    parameters={"half_dose": "dose with half the effect of an unlimited one"},
    priors={"half_dose": {"median": 0.5, "factor": 3}},
    spell=lambda start, end, dose, p, math: (start, end, dose * (1.0 + p["half_dose"]) / (dose + p["half_dose"])),
)
