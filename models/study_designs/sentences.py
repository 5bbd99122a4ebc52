"""Rules and sentences that several designs share."""

from __future__ import annotations

# Shares that do not change what a design is: stragglers, drop-outs, late starts
FEW = 0.05
MOST = 0.8
# Below this the spread between units is hardly learnt but taken from its prior
FEW_UNITS = 10


def counted(n: int, word: str) -> str:
    """``3 units``."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def without_control(p, title: str) -> str:
    """Why a design with a control group is contradicted: nobody was left unexposed."""
    if p.n_never:
        return ""
    if p.exposed.all():
        everybody = "the only clinician was" if p.n_clinicians == 1 else f"all {p.n_clinicians} clinicians were"
        return f"{everybody} exposed, and a {title} needs some who never were"
    gone = p.n_clinicians - p.n_exposed
    return (
        f"all clinicians were exposed but {gone}, who left before the others' start or joined after their end, and a"
        f" {title} needs some who were never exposed at that time"
    )


def with_control(p, title: str) -> str:
    """Why a design without a control group is contradicted: some (5 % or more) were never exposed."""
    if not p.controlled:
        return ""
    return (
        f"{p.n_never} of {counted(int(p.followed.sum()), 'clinician')} were never exposed, and in {title} everybody is"
    )


def one_start(p, title: str) -> str:
    """Why a design with one start is contradicted: exposure began at different dates."""
    if not p.staggered:
        return ""
    return (
        f"exposure starts at {len(p.starts)} different dates, and {title} has one start (or one time since each"
        " clinician's first survey)"
    )


def both_sides(p, title: str) -> str:
    """Why a design that compares before and after is contradicted: nobody was surveyed at both times."""
    if ((p.before > 0) & (p.after > 0))[p.exposed].any():
        return ""
    return f"no exposed clinician has surveys both before and after the start, and {title} compares them"


def goes_off(p, title: str) -> str:
    """Why a design in which exposure goes on is contradicted: it ends before the last survey for 20 % or more."""
    ended = int(p.goes_off.sum())
    if p.share(~p.goes_off) >= MOST:
        return ""
    return (
        f"for {ended} of {counted(p.n_exposed, 'exposed clinician')} exposure ends before the last survey, and in {title} it"
        " goes on (if its effect is to stay after the end, give it the shape `step`)"
    )


def comes_back(p, title: str) -> str:
    """Why a design with one spell each is contradicted: 20 % or more of the exposed have several."""
    several = int((p.spells > 1).sum())
    if p.share(p.spells <= 1) >= MOST:
        return ""
    return f"{several} of {counted(p.n_exposed, 'exposed clinician')} go on and off more than once, and in {title} each has one spell"


def at_one_time(p) -> bool:
    """Whether some were exposed and others never, with starts alike and one spell each."""
    return p.controlled and not p.staggered and p.share(p.spells == 1) >= MOST


def everybody_at_once(p) -> bool:
    """Whether (nearly) all begin within the follow-up at one time and go on."""
    on = p.share(p.runs_on & (p.spells == 1)) >= MOST
    return on and p.never_share <= FEW and not p.staggered and p.share((p.before > 0) & (p.after > 0)) >= 0.5


def no_baseline(p) -> list[str]:
    """A warning where fewer than half of the clinicians compared have a survey before the start."""
    some, all_ = int((p.before[p.followed] > 0).sum()), int(p.followed.sum())
    if 2 * some >= all_:
        return []
    return [
        f"Only {some} of {counted(all_, 'clinician')} have a survey before the start: for the rest the groups are"
        " compared after it only, so differences by chance from before count as effect."
    ]


def few_units(p) -> list[str]:
    """A warning where the programme was given to whole units, and there are few of them."""
    units = p.units_exposed + p.units_unexposed
    if units >= FEW_UNITS:
        return []
    return [
        f"Only {units} units: what sets units apart by chance looks like the effect, and the interval leans on the prior"
        " for the spread between units."
    ]


def drift_counts(secular: str) -> list[str]:
    """A warning where a design with a control group is fitted without a change over calendar time."""
    if secular != "none":
        return []
    return ["No change over calendar time is modelled: a drift common to both groups counts in part as effect."]
