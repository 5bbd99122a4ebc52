"""A run does what is not done yet, and no more; what fails leaves what was there."""

import json

import pytest

from equipoise import outputs, run
from equipoise.datasets.errors import UserError


def edit(analysis, old, new):
    text = analysis.read_text()
    assert old in text
    analysis.write_text(text.replace(old, new))


def results(analysis):
    return analysis.parent / "results" / "analysis"


def test_a_first_run_does_everything(analysis, laboratory):
    outcome = run.run(analysis)
    assert (outcome.done, outcome.folder, laboratory.sampled) == ("everything", results(analysis), 1)
    assert outcome.page.read_text() == "Ward programme: draws 1"
    provenance = json.loads((outcome.folder / "provenance.json").read_text())
    assert set(provenance["files"]) == {"analysis.toml", "posterior.nc", "report.html", "tables/units.csv"}
    assert provenance["seed"] == 3 and provenance["complete"] is True
    assert {"pymc", "pytensor", "nutpie", "numba", "python"} <= set(provenance["versions"])
    assert len(provenance["study"]["fingerprint"]) == 64
    assert str(analysis.parent) not in (outcome.folder / "provenance.json").read_text()


def test_the_sampler_gets_what_the_file_says(analysis, laboratory, monkeypatch):
    seen = {}
    monkeypatch.setattr(run, "sample", lambda model, study, **options: seen.update(options) or laboratory.sample(0, 0))
    run.run(analysis, progress=False)
    assert seen == {"draws": 100, "tune": 100, "chains": 2, "seed": 3, "target_accept": 0.8, "method": "nuts",
                    "compare_spreads": True, "progress": False}  # fmt: skip
    assert laboratory.options == {"title": "Ward programme", "prob": 0.89, "truth": None}


def test_a_second_run_does_nothing(analysis, laboratory):
    run.run(analysis)
    page = results(analysis) / "report.html"
    before = page.stat().st_mtime_ns
    assert run.run(analysis).done == "nothing"
    assert (laboratory.sampled, laboratory.rendered, page.stat().st_mtime_ns) == (1, 1, before)


def test_fresh_does_it_all_again(analysis, laboratory):
    run.run(analysis)
    assert run.run(analysis, fresh=True).done == "everything"
    assert (laboratory.sampled, laboratory.rendered) == (2, 2)


def test_a_new_title_never_samples_again(analysis, laboratory):
    run.run(analysis)
    edit(analysis, "Ward programme", "A better title")
    outcome = run.run(analysis)
    assert (outcome.done, laboratory.sampled) == ("report", 1)
    assert outcome.page.read_text() == "A better title: draws 1"
    assert (outcome.folder / "posterior.nc").read_text() == "draws 1"
    assert run.run(analysis).done == "nothing"


def test_the_order_of_rows_and_a_comment_change_nothing(analysis, laboratory):
    run.run(analysis)
    data = analysis.parent / "survey.csv"
    header, *rows = data.read_text().splitlines()
    data.write_text("\n".join([header, *reversed(rows)]) + "\n")
    edit(analysis, "[model]", "# a remark\n[model]")
    assert run.run(analysis).done == "nothing"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [("seed = 3", "seed = 4", "[sampling]"), ('"sleep"\n\n[sampling]', '""\n\n[sampling]', "the model")],
)
def test_what_draws_depend_on_samples_again(analysis, laboratory, old, new, what):
    run.run(analysis)
    edit(analysis, old, new)
    notes = []
    assert run.run(analysis, note=notes.append).done == "everything"
    assert what in notes[0] and "changed" in notes[0]
    assert (results(analysis) / "posterior.nc").read_text() == "draws 2"


def test_another_answer_samples_again(analysis, laboratory):
    run.run(analysis)
    data = analysis.parent / "survey.csv"
    lines = data.read_text().splitlines()
    cells = lines[1].split(",")
    cells[3] = str((int(cells[3]) + 1) % 10)
    data.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    assert run.run(analysis).done == "everything"


def test_a_result_that_is_gone_is_made_again(analysis, laboratory):
    run.run(analysis)
    (results(analysis) / "tables" / "units.csv").unlink()
    assert run.run(analysis).done == "report"
    (results(analysis) / "posterior.nc").unlink()
    assert run.run(analysis).done == "everything"


def test_changed_draws_are_not_trusted(analysis, laboratory):
    run.run(analysis)
    (results(analysis) / "posterior.nc").write_text("something else")
    assert run.run(analysis).done == "everything"
    assert (results(analysis) / "posterior.nc").read_text() == "draws 2"


def test_the_users_files_stay(analysis, laboratory):
    run.run(analysis)
    (results(analysis) / "notes.txt").write_text("mine")
    run.run(analysis, fresh=True)
    assert (results(analysis) / "notes.txt").read_text() == "mine"


def test_an_interrupted_run_goes_aside_and_never_over_complete_results(analysis, laboratory):
    run.run(analysis)
    laboratory.complete, laboratory.warnings = False, ("INCOMPLETE",)
    outcome = run.run(analysis, fresh=True)
    aside = results(analysis).with_name("analysis.incomplete")
    assert (outcome.done, outcome.folder, outcome.warnings) == ("interrupted", aside, ["INCOMPLETE"])
    assert (aside / "posterior.nc").read_text() == "draws 2"
    assert json.loads((aside / "provenance.json").read_text())["complete"] is False
    assert (results(analysis) / "report.html").read_text() == "Ward programme: draws 1"
    assert run.run(analysis).done == "nothing"
    assert sorted(p.name for p in results(analysis).parent.iterdir()) == ["analysis", "analysis.incomplete"]


def test_incomplete_draws_are_not_taken_for_complete_ones(analysis, laboratory):
    laboratory.complete = False
    run.run(analysis)
    laboratory.complete = True
    assert run.run(analysis).done == "everything"
    assert laboratory.sampled == 2
    # superseded by the complete draws of the same inputs
    assert not results(analysis).with_name("analysis.incomplete").exists()


def test_interrupted_before_the_first_draw_nothing_is_left(analysis, laboratory):
    laboratory.fail = "sample"
    with pytest.raises(KeyboardInterrupt):
        run.run(analysis)
    assert not (analysis.parent / "results").exists()


def test_draws_survive_a_report_that_fails(analysis, laboratory):
    laboratory.fail = "render"
    with pytest.raises(RuntimeError, match="cannot be drawn"):
        run.run(analysis)
    assert not results(analysis).exists()
    laboratory.fail = None
    outcome = run.run(analysis)
    assert (outcome.done, laboratory.sampled) == ("report", 1)
    assert outcome.page.read_text() == "Ward programme: draws 1"
    assert [p.name for p in results(analysis).parent.iterdir()] == ["analysis"]


def test_a_report_that_fails_leaves_the_one_before(analysis, laboratory):
    run.run(analysis)
    edit(analysis, "Ward programme", "Another title")
    laboratory.fail = "render"
    with pytest.raises(RuntimeError):
        run.run(analysis)
    assert (results(analysis) / "report.html").read_text() == "Ward programme: draws 1"


def test_report_writes_again_without_sampling(analysis, laboratory):
    with pytest.raises(UserError, match="no draws"):
        run.report(analysis)
    run.run(analysis)
    outcome = run.report(analysis)
    assert (outcome.done, laboratory.sampled, laboratory.rendered) == ("report", 1, 2)
    assert run.run(analysis).done == "nothing"


def test_report_refuses_draws_of_another_study_or_model(analysis, laboratory):
    run.run(analysis)
    edit(analysis, 'replenishment = "sleep"', "")
    with pytest.raises(UserError, match="the model changed"):
        run.report(analysis)


def test_report_takes_draws_of_older_versions_and_says_so(analysis, laboratory, monkeypatch):
    run.run(analysis)
    monkeypatch.setattr(run.keys, "version", lambda package: "99.0")
    notes = []
    assert run.report(analysis, note=notes.append).done == "report"
    assert "versions" in notes[0]
    assert run.run(analysis).done == "everything"  # the new report does not pass the old draws off as new ones


def test_the_output_folder_is_used_exactly(analysis, laboratory, tmp_path):
    out = tmp_path / "somewhere" / "out"
    assert run.run(analysis, output=out).folder == out
    assert (out / "report.html").exists()
    assert not (analysis.parent / "results").exists()
    assert run.run(analysis, output=out).done == "nothing"


def test_a_folder_of_the_users_is_refused_before_sampling(analysis, laboratory, tmp_path):
    with pytest.raises(UserError, match="not written by Equipoise"):
        run.run(analysis, output=analysis.parent)
    assert laboratory.sampled == 0


def test_warnings_stay_with_results_that_are_kept(analysis, laboratory):
    laboratory.warnings = ("R-hat 1.2",)
    assert run.run(analysis).warnings == ["R-hat 1.2"]
    assert run.run(analysis).warnings == ["R-hat 1.2"]


def test_an_adjustment_switched_off_against_the_design_is_a_warning(analysis, laboratory):
    edit(analysis, "[model]", "[model]\nperiods = 0")
    assert any("No secular time" in text for text in run.run(analysis).warnings)


def test_what_was_cut_off_is_mended_first(analysis, laboratory, monkeypatch):
    run.run(analysis)
    renames = iter([True, False])
    real = outputs.os.rename

    def rename(*args):
        if next(renames, False):
            return real(*args)
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(outputs.os, "rename", rename)
        run.run(analysis, fresh=True)
    assert not results(analysis).exists()
    assert run.run(analysis).done == "nothing"
    assert (results(analysis) / "report.html").read_text() == "Ward programme: draws 2"


def test_the_folder_with_the_draws_of_a_large_study_goes_where_the_draws_go(analysis, laboratory, monkeypatch):
    class LargeFit:
        complete, warnings, text = True, [], "draws"

        def save(self, path):
            path.write_text(self.text)
            (path.with_suffix(".zarr") / "posterior").mkdir(parents=True)
            (path.with_suffix(".zarr") / "posterior" / "c0").write_text("of each clinician")

    monkeypatch.setattr(run, "sample", lambda model, study, **options: LargeFit())
    name = "posterior.zarr/posterior/c0"
    laboratory.fail = "render"
    with pytest.raises(RuntimeError):
        run.run(analysis)
    aside = results(analysis).with_name("analysis.incomplete")
    assert (aside / name).read_text() == "of each clinician"  # kept for the next run, which takes it up
    laboratory.fail = None
    assert run.run(analysis).done == "report"
    assert name in json.loads((results(analysis) / "provenance.json").read_text())["files"]
    edit(analysis, "Ward programme", "A better title")
    assert run.run(analysis).done == "report"
    assert (results(analysis) / name).read_text() == "of each clinician"
    monkeypatch.setattr(run, "sample", laboratory.sample)
    (results(analysis) / name).unlink()  # what is not whole is sampled again
    assert run.run(analysis).done == "everything"
