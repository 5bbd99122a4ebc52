"""The shared version: an attacker who reads its files, and knows who is in which group, learns nothing of a small one."""

import html
import itertools
import re

import numpy as np
import pandas as pd
import pytest

from equipoise import CapacityModel, Score, Study
from equipoise.datasets import UserError
from equipoise.inference import Fit
from equipoise.reports import page as ordinary
from equipoise.reports.material import Material
from equipoise.reports.sharing.material import SharedMaterial
from equipoise.reports.sharing.page import write_share
from equipoise.reports.sharing.plan import make_plan
from equipoise.reports.sharing.pseudonyms import pseudonyms

SMALLEST = 10
KEY = bytes(range(32))
UNITS = {"Alder": 3, "Birch": 11, "<script>alert('Cedar')</script>": 15, "=cmd|'Dogwood'!A0": 20, "\u202eElm\u202c": 24}
ASKED = {
    "decisions": {"worthwhile": 5.0, "points": "capacity", "costs": {}},
    "estimands": {"horizon": 10.0, "threshold": 40.0, "by": ["unit", "role", "site"]},
    "forecast": {"start": 4.0, "horizon": 10.0},
}
MODEL = CapacityModel(replenishment="sleep + role + site")


def ward_study(units=None, exposed=lambda unit, j: j % 2 == 0, role=None, late=range(61, 73)) -> Study:
    """Units of stated sizes; roles and sites cut across them; half of the last unit joins late; one spell has a date of its own."""
    role = role or (lambda i: "nurse" if i % 3 else "physician")
    units = UNITS if units is None else units
    rng, rows, spells = np.random.default_rng(1), [], []
    names = [(unit, j) for unit, size in units.items() for j in range(size)]
    for i, (unit, j) in enumerate(names):
        # the north is Birch and all of Dogwood but two: their difference to the units is two clinicians
        site = "north" if "Birch" in unit or ("Dogwood" in unit and j > 1) else "south"
        begin = 5 if i in late else 0
        rows += [(f"clin-{i:03d}", unit, float(week), int(rng.integers(15, 90)), role(i), site, rng.normal())
                 for week in range(begin, 8)]  # fmt: skip
        if exposed(unit, j):
            spells.append((f"clin-{i:03d}", 2.0 if i else 2.34567, np.nan))
    frame = pd.DataFrame(rows, columns=["id", "ward", "week", "well", "role", "site", "sleep"])
    return Study.from_table(
        frame, clinician="id", unit="ward", time="week", time_unit="week", holds="before", scores={"well": Score((0, 100), "higher")},
        interventions={"mindfulness": pd.DataFrame(spells, columns=["clinician", "start", "end"])}, covariates=["sleep", "role", "site"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def fit(make_fit):
    study = ward_study()
    return Fit(make_fit(MODEL, study, draws=30, known={"total_sd": 15.0}).tree, study)


@pytest.fixture(scope="module")
def shared(fit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    write_share(fit, folder, key=KEY, smallest=SMALLEST, title="Ward programme", **ASKED)
    return folder


@pytest.fixture(scope="module")
def unprotected(fit, tmp_path_factory):
    """Tables and words of the ordinary report."""
    folder = tmp_path_factory.mktemp("unprotected")
    (folder / "tables").mkdir()
    material = Material(fit, **ASKED)
    for name in ("population", "unit", "clinician", "intervention", "estimand", "forecast"):
        file = folder / f"tables/{name if name in ('population', 'forecast') else name + 's'}.csv"
        file.write_text(ordinary.table_files.to_csv(getattr(material, f"{name}_table")), encoding="utf-8")
    (folder / "words.txt").write_text(" ".join(str(block) for block in ordinary.sections.study(material).blocks), encoding="utf-8")
    return folder


def everything(folder) -> str:
    """All text of a folder, entities resolved."""
    return "\n".join(html.unescape(p.read_text(encoding="utf-8")) for p in sorted(folder.rglob("*")) if p.is_file())


def telling(text: str, study) -> list[str]:
    """Names of clinicians and units in a text."""
    words = ["Alder", "Birch", "Cedar", "Dogwood", "Elm", *study.clinicians["clinician"]]
    return [word for word in words if word in text]


def clinician_counts(folder) -> list[int]:
    """Every number of clinicians that the files tell."""
    found = [int(n) for n in re.findall(r"(\d+) clinicians?\b", everything(folder))]
    for file in folder.glob("tables/*.csv"):
        table = pd.read_csv(file)
        found += table["clinicians"].tolist() if "clinicians" in table else []
    return found


# --- what an attacker does who knows who is where, and reads mean C* of groups and their sizes -------------------------------


def equations(folder, study) -> list[tuple[np.ndarray, float]]:
    """Groups whose mean C* the files tell, as the attacker who knows all memberships reads them."""
    who = {"all clinicians": np.ones(study.n_clinicians)}
    by_size = {}
    for u, size in enumerate(np.bincount(study.unit_code)):  # pseudonyms do not hide a unit of known size
        by_size[int(size)] = (study.unit_code == u).astype(float)
    role, site = (study.occasions.groupby("clinician")[c].first().to_numpy() for c in ("role", "site"))
    who |= {f"role: {level}": (role == level).astype(float) for level in set(role)}
    who |= {f"site: {level}": (site == level).astype(float) for level in set(site)}
    found = []
    population = pd.read_csv(folder / "tables/population.csv").set_index("quantity")
    found.append((who["all clinicians"], population.loc["capacity_mean", "mean"]))
    if (folder / "tables/units.csv").exists():
        units = pd.read_csv(folder / "tables/units.csv")
        means = units[units["quantity"] == "capacity_mean"]
        found += [(by_size[n], mean) for n, mean in zip(means["clinicians"], means["mean"], strict=True)]
    estimands = pd.read_csv(folder / "tables/estimands.csv")
    level = estimands[(estimands["estimand"] == "capacity") & (estimands["option"] == "no programme")]
    for row in level.itertuples():
        members = who.get(row.group, by_size.get(row.clinicians))
        found.append((members, row.mean))
    # beside C* there are changes of it over everyone and the exposed: an equation more in kind, if not in number
    changes = pd.read_csv(folder / "tables/interventions.csv").set_index("effect")
    if "capacity_change_exposed" in changes.index:
        exposed = np.zeros(study.n_clinicians)
        exposed[study.spells["clinician"].to_numpy(int)] = 1
        found.append((exposed, np.nan))
    forecast = pd.read_csv(folder / "tables/forecast.csv").drop_duplicates("group")
    followed = (study.follow_up[0] <= ASKED["forecast"]["start"]).astype(float)
    for size in forecast["clinicians"]:
        members = next(m for m in [followed, *(m * followed for m in by_size.values())] if m.sum() == size)
        found.append((members, np.nan))
    return found


def recovered(found, target: np.ndarray) -> float | None:
    """The target's mean as a combination of means, None where there is no such combination."""
    for known in ([f for f in found if np.isfinite(f[1])], found):  # of means of C* alone, if it can be done
        rows = np.array([members for members, _ in known])
        weights, *_ = np.linalg.lstsq(rows.T, target, rcond=None)
        if np.abs(rows.T @ weights - target).max() < 1e-8:
            return float(weights @ [members.sum() * mean for members, mean in known] / target.sum())
    return None


def small_targets(study):
    """Cells of unit x role x site x exposure, single and in pairs, of fewer clinicians than the smallest cell."""
    exposed = np.zeros(study.n_clinicians, int)
    exposed[study.spells["clinician"].to_numpy(int)] = 1
    role, site = (study.occasions.groupby("clinician")[c].first().to_numpy() for c in ("role", "site"))
    late = (study.follow_up[0] > ASKED["forecast"]["start"]).astype(str)
    cells = [study.unit_code.astype(str), role, site, exposed.astype(str), late]
    kept = {}
    for r in range(1, 6):
        for columns in itertools.combinations(cells, r):
            label = np.array(["|".join(values) for values in zip(*columns, strict=True)])
            for value in set(label):
                kept[(label == value).tobytes()] = label == value
    single = [members.astype(float) for members in kept.values() if members.sum() < SMALLEST]
    pairs = [np.maximum(a, b) for a, b in itertools.combinations(single, 2)]
    return single + [pair for pair in pairs if pair.sum() < SMALLEST]


def test_the_attack_succeeds_where_small_units_alone_are_left_out(unprotected, fit, tmp_path):
    """What somebody would do by hand: strike out the rows of the units that are too small, and leave the rest."""
    (tmp_path / "tables").mkdir()
    for name in ("population", "interventions", "estimands", "units", "forecast"):
        table = pd.read_csv(unprotected / f"tables/{name}.csv")
        table = table[table["clinicians"] >= SMALLEST] if "clinicians" in table else table
        table.to_csv(tmp_path / f"tables/{name}.csv", index=False)
    found = equations(tmp_path, fit.study)
    alder = (fit.study.unit_code == fit.study.units.index("Alder")).astype(float)
    table = fit.units()
    truth = table[(table["unit"] == "Alder") & (table["quantity"] == "capacity_mean")]["mean"].item()
    assert recovered(found, alder) == pytest.approx(truth, abs=0.01)
    two = [target for target in small_targets(fit.study) if recovered(found, target) is not None]
    assert len(two) > 1  # and the two clinicians by whom the site and the units differ


def test_the_attack_fails_on_what_is_shared(shared, fit):
    found = equations(shared, fit.study)
    assert len(found) > 4  # there is something to attack
    targets = small_targets(fit.study)
    assert len(targets) > 50
    assert [target for target in targets if recovered(found, target) is not None] == []


def test_what_is_shared_is_right(shared, fit):
    """Suppression must not set a group's numbers beside another one's name."""
    found = equations(shared, fit.study)
    mean = fit.tree["posterior"]["capacity"].mean(("chain", "draw")).to_numpy()
    for members, value in found:
        if np.isfinite(value):
            assert value == pytest.approx(mean[members > 0].mean(), rel=1e-3)
    names = pseudonyms(fit.study.units, KEY)
    units = pd.read_csv(shared / "tables/units.csv")
    whole = fit.units().assign(unit=lambda t: t["unit"].map(names)).set_index(["unit", "quantity"])
    assert len(units) and sorted(units["unit"].unique()) == list(dict.fromkeys(units["unit"]))
    for row in units.itertuples():
        assert row.median == pytest.approx(whole.loc[(row.unit, row.quantity), "median"], rel=1e-3)
        assert row.clinicians == whole.loc[(row.unit, row.quantity), "clinicians"] >= SMALLEST


def test_no_name_is_told(shared, unprotected, fit):
    assert len(telling(everything(unprotected), fit.study)) > 50
    assert telling(everything(shared), fit.study) == []


def test_no_number_of_few_clinicians_is_told(shared, unprotected):
    assert min(clinician_counts(unprotected)) < SMALLEST
    told = clinician_counts(shared)
    assert len(told) > 20 and min(told) >= SMALLEST


def test_files_are_those_of_the_list(shared):
    files = {p.relative_to(shared).as_posix() for p in shared.rglob("*") if p.is_file()}
    assert {"report.html", "tables/units.csv", "figures/units.svg", "figures/paths.svg"} <= files
    stems = {name.split("/")[1].split(".")[0] for name in files if "/" in name}
    assert stems <= {"population", "scores", "units", "interventions", "lever", "estimands", "decisions", "forecast", "sequences",
                     "layers", "covariates", "worth", "paths"}  # fmt: skip


def test_how_many_answers_are_missing_is_not_told_to_the_last(shared, fit):
    assert fit.study.n_surveys % SMALLEST  # 524 answers
    assert pd.read_csv(shared / "tables/scores.csv")["answers"].tolist() == [round(fit.study.n_surveys, -1)]
    assert f"{fit.study.n_surveys} answers" not in (shared / "report.html").read_text(encoding="utf-8")


def test_no_date_of_a_single_spell_is_told(shared, unprotected):
    times = pd.read_csv(shared / "tables/forecast.csv")["time"].unique()
    assert np.diff(np.unique(times)) == pytest.approx(10 / 48, abs=1e-5)
    assert "2.34567" not in everything(shared)


def test_the_page_says_what_it_is(shared):
    page = (shared / "report.html").read_text(encoding="utf-8")
    head = page[: page.index('id="summary"')]
    assert "Shared version" in head and "at least 10 clinicians" in head and "belong to the person" in head
    assert re.search(r"2 of 5 units are left out", head)
    assert "Fingerprint" not in page and "Seed" not in page


def test_warnings_stay_but_name_nobody(fit, tmp_path, monkeypatch):
    told = ["3 of 600 quantities have R-hat above 1.01 (worst: alpha[clin-007], 1.042): the chains disagree."]
    monkeypatch.setitem(fit.facts, "warnings", told)
    monkeypatch.setitem(fit.facts, "cautions", ["Selection is not adjusted for (selection = false), ...", "Clinician clin-007 is odd."])
    write_share(fit, tmp_path, key=KEY, title="Ward programme")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "clin-" not in page
    assert re.search(r"% of all quantities have R-hat above 1.01", page.replace("\u00a0", " ")) and "Selection is not adjusted for" in page


def test_names_of_units_stay_if_asked_for_and_run_nowhere(fit, tmp_path):
    write_share(fit, tmp_path, key=None, smallest=SMALLEST, **ASKED)
    text = everything(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert set(telling(text, fit.study)) == {"Cedar", "Dogwood", "Elm"}  # those shown
    assert "<script" not in page and "pseudonyms" not in page
    assert not re.search(r'(?m)(^|,)"?=cmd', (tmp_path / "tables/units.csv").read_text(encoding="utf-8"))


def test_what_others_add_to_the_report_does_not_come_in(fit, tmp_path, monkeypatch):
    def more(*_):
        raise AssertionError("the shared page must not be made from the report's own list")

    monkeypatch.setattr(ordinary.sections, "all_sections", more)
    monkeypatch.setattr(ordinary.table_files, "files", more)
    monkeypatch.setattr(ordinary, "FIGURES", {"evil": "evil"})
    write_share(fit, tmp_path, key=KEY)
    assert "clin-" not in everything(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["clinician_table", "clinician_names", "clinician_unit", "trajectories", "surveys", "spells", "samples", "shown", "diagnostics",
     "constant", "checks", "evidence"],
)  # fmt: skip
def test_the_material_has_nothing_of_a_person(fit, name):
    material = SharedMaterial(fit, make_plan(fit.study, fit.model), KEY)
    assert len(material.unit_table)
    with pytest.raises(AttributeError):
        getattr(material, name)
    assert not material.posterior.data_vars


def test_a_study_without_units_and_programmes_can_be_shared(make_fit, tmp_path):
    frame = pd.DataFrame({"id": np.repeat([f"clin-{i:03d}" for i in range(12)], 4), "week": np.tile(np.arange(4.0), 12)})
    frame["well"] = np.random.default_rng(0).integers(20, 80, len(frame))
    study = Study.from_table(frame, clinician="id", time="week", time_unit="week", scores={"well": Score((0, 100), "higher")})
    fit = Fit(make_fit(CapacityModel(), study, draws=30).tree, study)
    write_share(fit, tmp_path, key=KEY)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "clin-" not in page and "12 clinicians" in page and "pseudonyms" not in page
    assert {p.name for p in tmp_path.glob("tables/*.csv")} == {"population.csv", "scores.csv"}


# --- what is decided of a study ----------------------------------------------------------------------------------------------


def test_a_group_that_differs_from_units_by_two_clinicians_is_left_out(fit):
    plan = make_plan(fit.study, fit.model, SMALLEST, ASKED["estimands"])
    assert plan.columns == {"sleep": True, "role": True, "site": False}
    groups = dict(zip(["all", *fit.study.units, "nurse", "physician", "north", "south"], plan.groups.tolist(), strict=True))
    assert groups["Alder"] == groups["Birch"] == 0
    assert groups["nurse"] and groups["physician"] and not groups["north"] and not groups["south"]


def test_a_category_of_few_has_no_coefficient(fit):
    study = ward_study(role=lambda i: "chaplain" if i < 4 else "nurse" if i % 3 else "physician")
    plan = make_plan(study, MODEL, SMALLEST, {"by": ["role"]})
    assert plan.columns["role"] is False and plan.columns["sleep"] is True
    assert plan.groups.tolist() == [True, False, True, False]  # chaplains, and the next larger group with them


def test_a_covariate_that_names_units_is_left_out():
    study = ward_study(role=lambda i: "Alder" if i % 2 else "Birch")
    assert make_plan(study, MODEL, SMALLEST).columns["role"] is False


@pytest.mark.parametrize(
    ("exposed", "safe"),
    [(lambda unit, j: j % 2 == 0, True), (lambda unit, j: True, True), (lambda unit, j: unit != "Alder", False)],
)
def test_the_exposed_are_told_of_unless_few_are_not(exposed, safe):
    assert make_plan(ward_study(exposed=exposed), MODEL, SMALLEST).exposed == {"mindfulness": safe}


def test_a_forecast_that_leaves_out_few_is_not_told():
    """Beside everyone, those followed by its start give away the few who joined later."""

    def told(late) -> str:
        study = ward_study(late=late)
        shown = make_plan(study, MODEL, SMALLEST, None, ASKED["forecast"]).forecast
        names = ["all", *(re.search(r"Alder|Birch|Cedar|Dogwood|Elm", unit)[0] for unit in study.units)]
        return " ".join(sorted(name for name, safe in zip(names, shown, strict=bool(shown.size)) if safe))

    assert told(range(61, 73)) == "Cedar Dogwood Elm all"
    assert told((30, 31, 40)) == ""
    # three of Dogwood and nine of Elm: everyone is told of, these two units are not
    assert told((30, 31, 40, *range(60, 69))) == "Cedar all"


def test_sequences_that_give_a_small_unit_away_are_not_drawn():
    whole = ward_study(exposed=lambda unit, j: unit in ("Alder", list(UNITS)[2]))  # 3 and 15 begin together
    assert make_plan(whole, MODEL, SMALLEST).sequences["mindfulness"] == []
    mixed = ward_study(exposed=lambda unit, j: j % 2 == 0)
    assert len(make_plan(mixed, MODEL, SMALLEST).sequences["mindfulness"]) == 2


def test_a_study_or_programme_of_few_is_refused():
    with pytest.raises(UserError, match="9 clinicians cannot be shared"):
        make_plan(ward_study({"Alder": 9}, lambda unit, j: True), MODEL, 10)
    with pytest.raises(UserError, match="mindfulness: fewer than 10 clinicians"):
        make_plan(ward_study(exposed=lambda unit, j: unit == "Alder"), MODEL, 10)


@pytest.mark.parametrize("smallest", [4, 0, 7.5, True])
def test_a_smallest_cell_under_five_is_refused(smallest):
    with pytest.raises(UserError, match="at least 5"):
        make_plan(ward_study(), MODEL, smallest)
