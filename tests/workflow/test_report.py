"""report.html from end to end: made by its rules, anew only where something changed, and in Snakemake's own report."""

import shutil
import zipfile

import pytest
from conftest import TOY, Project, write_machine

PAGE = "results/one/report.html"


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A project of two machines that has its page."""
    project = Project(tmp_path_factory.mktemp("report"), TOY)
    for machine in ("alpha", "beta"):
        write_machine(project.folder / "data", machine)
    done = project.run(PAGE)
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().endswith(PAGE)
    return project


@pytest.mark.slow
def test_the_page_has_every_machine_and_is_made_once(reported):
    text = (reported.folder / PAGE).read_text()
    assert 'id="alpha"' in text and 'id="beta"' in text and str(reported.folder) not in text
    assert reported.planned(PAGE) == set()


@pytest.mark.slow
def test_a_template_that_changed_is_rendered_and_no_clip_is_heard_again(reported):
    style = reported.folder / "src/nearfar/report/page/page.css"
    kept = style.read_text()
    style.write_text(kept + "/* other */\n")
    assert {rule for rule, _ in reported.planned(PAGE)} == {"report_page"}
    style.write_text(kept)


@pytest.mark.slow
def test_a_new_clip_of_a_machine_leaves_the_other_as_it_was_heard(reported):
    test = reported.folder / "data/alpha/test"
    new = test / "section_00_source_test_normal_0009_spd_1.wav"
    shutil.copy(next(test.glob("*target_test_normal*")), new)
    heard = {wildcards for rule, wildcards in reported.planned(PAGE) if rule == "report_machine"}
    assert len(heard) == 1 and "machine=alpha" in heard.pop()
    new.unlink()


@pytest.mark.slow
def test_snakemakes_own_report_has_the_page(reported):
    done = reported.run("--report", "all.zip", PAGE)
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(reported.folder / "all.zip") as archive:
        assert any(name.endswith("/report.html") and "data" in name for name in archive.namelist())
