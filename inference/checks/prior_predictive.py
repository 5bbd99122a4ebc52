"""Prior predictive check: what answers the priors alone expect on this design, and whether the observed ones are among them."""

from __future__ import annotations

from ...models.simulation import prior_predictive
from .answers import answers
from .check import Check, not_done
from .predictive import far_out, height_of, histograms, inside, statistics, told

TITLE = "Would the priors alone expect answers like these?"
DRAWS = 400


def check(fit, prob: float) -> Check:
    """Whole studies drawn from the priors on the study's own design, against the one observed (Box 1980; Gabry et al. 2019).

    Passes where no statistic of the observed answers lies so far out that priors and data contradict each other. That priors expect
    only sensible answers is for the reader to judge: how many lie beyond the ends of the scale is said.
    """
    drawn = prior_predictive(fit.model, fit.study, draws=DRAWS, seed=0)
    scores = drawn["prior_predictive"]["scores"]
    table, replicates, found = statistics(fit, prob, answers(fit, scores))
    known = table[table["tail"].notna()]
    if known.empty:
        return not_done("prior_predictive", TITLE, "There are too few answers to compare with those that the priors expect.")
    several = len(found) > 1
    odd = far_out(known, DRAWS)
    beyond = float(((scores < 0) | (scores > 100)).mean())
    above = float((drawn["prior"]["capacity"] > 100).mean())
    said = (
        f"In {DRAWS} studies drawn from the priors alone, {100 * beyond:.0f} % of the answers would lie beyond the ends of the scale and "
        f"{100 * above:.0f} % of the clinicians' C* above 100. {inside(known)} of {len(known)} statistics of the observed answers lie "
        f"within the {100 * prob:.4g} % interval of the drawn ones"
    )
    if odd.empty:
        said += "; none is so far out that priors and data would contradict each other."
    else:
        said += f". Priors and data contradict each other in: {told(odd, 'drawn', several)}."
    caption = (
        "Line: observed; bars: the same statistic in studies drawn from the priors, on the same clinicians and times. Bars should be wide "
        "and hold what could have been seen; a line far outside them is a contradiction of priors and data."
    )
    return Check("prior_predictive", TITLE, odd.empty, said, table, lambda figure: histograms(figure, known, replicates, several),
                 caption=caption, height=height_of(known))  # fmt: skip
