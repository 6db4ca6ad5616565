import json
import shutil
import zipfile

import numpy as np
import pytest
from exported import learned

from nearfar.cli import main
from nearfar.errors import NearfarError
from nearfar.export import bundle as module
from nearfar.export.bundle import Bundle, write_bundle
from nearfar.export.model import load
from nearfar.export.system import export_system
from nearfar.jobs.faults import write_faults
from nearfar.jobs.files import read_arrays, write_arrays


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return learned(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def pump(whole, tmp_path):
    shutil.copytree(whole.parents[1], tmp_path / "results")
    return tmp_path / "results/one/model.nearfar"


def rewritten(path, change):
    """Write a zip again with ``change`` applied to (name, bytes) of each member."""
    with zipfile.ZipFile(path) as archive:
        members = [change(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)


def refusal(function, *arguments):
    with pytest.raises(NearfarError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_same_system_is_exported_to_the_same_bytes(whole, tmp_path):
    Bundle(whole).copy(tmp_path / "again.nearfar", ["alpha", "beta"])
    assert (tmp_path / "again.nearfar").read_bytes() == whole.read_bytes()


def test_it_holds_safetensors_and_json_alone_and_a_digest_of_each(whole):
    with zipfile.ZipFile(whole) as archive:
        names = set(archive.namelist())
        manifest = json.loads(archive.read("manifest.json"))
    assert {name.rsplit(".", 1)[1] for name in names} == {"json", "safetensors"}
    assert set(manifest["sha256"]) == names - {"manifest.json"}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(pump, share):
    content = pump.read_bytes()
    pump.write_bytes(content[: int(share * len(content))])
    said = refusal(load, pump)
    assert said.startswith(f"{pump}: cut, changed or no file of nearfar export") and "copy it again" in said


@pytest.mark.parametrize("name", ["machines/alpha/raw.safetensors", "model.json"])
def test_a_member_that_was_changed_is_refused_by_its_digest(pump, name):
    def changed(member, content):
        return member, content[:-1] + bytes([content[-1] ^ 1]) if member == name else content

    rewritten(pump, changed)
    said = refusal(lambda: load(pump).fitted("alpha"))
    assert said == f"{pump}: {name} in it is not as it was exported (sha256); {module.COPY}"


def test_every_flipped_byte_is_refused_or_changes_no_score(pump):
    content, known = pump.read_bytes(), load(pump).fitted("alpha").training
    rng = np.random.default_rng(0)
    for place in rng.integers(len(content), size=60):
        pump.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            assert np.array_equal(load(pump).fitted("alpha").training, known)
        except NearfarError as error:
            assert str(error).startswith(str(pump))


def test_another_format_is_refused_by_its_number_and_version(pump):
    def later(name, content):
        about = json.loads(content) | {"format": 2, "nearfar": "9.1"} if name == "manifest.json" else None
        return name, content if about is None else json.dumps(about)

    rewritten(pump, later)
    assert "of format 2, made by nearfar 9.1; nearfar" in refusal(load, pump)


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"format": 1}', "{", '{"format": 1, "sha256": 3}'])
def test_another_manifest_is_refused_in_one_line(pump, manifest):
    rewritten(pump, lambda name, content: (name, manifest if name == "manifest.json" else content))
    assert refusal(load, pump).startswith(str(pump))


def test_a_member_that_would_lie_outside_is_refused(tmp_path):
    (tmp_path / "evil").write_text("evil")
    write_bundle(tmp_path / "a.nearfar", {"machines": {}, "data": {}}, {"networks/../../evil": tmp_path / "evil"})
    said = refusal(Bundle(tmp_path / "a.nearfar").extract, "networks", tmp_path / "in")
    assert "would lie outside" in said


@pytest.mark.parametrize("content", [b"", b"PK", b"RIFF" + bytes(100)])
def test_what_is_no_zip_is_refused(tmp_path, content):
    (tmp_path / "a.nearfar").write_bytes(content)
    assert "no file of nearfar export" in refusal(load, tmp_path / "a.nearfar")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert "no such file" in refusal(load, tmp_path / "none.nearfar")


def test_the_command_takes_one_machine_and_says_so(pump, tmp_path, capsys):
    assert main(["export", str(pump.parent), "--out", str(tmp_path / "b.nearfar"), "--machine", "beta"]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'b.nearfar'}: beta; ")
    assert load(tmp_path / "b.nearfar").machines == ["beta"]
    assert np.array_equal(load(tmp_path / "b.nearfar").fitted("beta").training, load(pump).fitted("beta").training)


@pytest.mark.parametrize("machine", ["gamma", ""])
def test_the_command_refuses_a_machine_that_there_is_not(pump, tmp_path, capsys, machine):
    assert main(["export", str(pump.parent), "--out", str(tmp_path / "b.nearfar"), "--machine", machine]) == 2
    assert f"has no machine {machine!r}; it holds alpha, beta" in capsys.readouterr().err
    assert not (tmp_path / "b.nearfar").exists()


def test_the_command_names_what_makes_the_file_where_it_is_missing(pump, tmp_path, capsys):
    pump.unlink()
    assert main(["export", str(pump.parent), "--out", str(tmp_path / "b.nearfar")]) == 2
    assert f"make it with snakemake --cores 2 {pump}" in capsys.readouterr().err


def test_the_command_refuses_what_was_learned_anew_since(pump, tmp_path, capsys):
    fit = pump.parents[1] / "fits/raw/beta.safetensors"
    arrays, about = read_arrays(fit)
    write_arrays(fit, arrays, **about | {"made": "anew"})
    assert main(["export", str(pump.parent), "--out", str(tmp_path / "b.nearfar")]) == 2
    assert "raw/beta.safetensors was learned anew since; make it with snakemake" in capsys.readouterr().err


def test_a_machine_that_could_not_be_learned_is_left_out(whole, tmp_path):

    results, about = whole.parents[1], Bundle(whole).model
    lost = tmp_path / "lost"
    write_faults([lost], "too few clips")
    members = {"machines/alpha/raw.safetensors": results / "fits/raw/alpha.safetensors"}
    clips = {machine: results / f"clips/train/{machine}.parquet" for machine in ("alpha", "beta")}
    members["machines/beta/raw.safetensors"] = lost
    about = about | {"data": {"near": 0, "far": 1, "window": None, "hop": None}}
    export_system(tmp_path / "a.nearfar", about, clips=clips, members=members, signals={})
    assert load(tmp_path / "a.nearfar").machines == ["alpha"]
    members["machines/alpha/raw.safetensors"] = lost
    given = {"clips": clips, "members": members, "signals": {}}
    assert "no machine was learned; too few clips" in refusal(
        lambda: export_system(tmp_path / "b.nearfar", about, **given)
    )


def test_a_model_that_lacks_a_setting_is_refused_by_its_name(whole, tmp_path):
    bundle = Bundle(whole)
    bundle.extract("machines", tmp_path)
    about = {key: value for key, value in bundle.model.items() if key != "decision"}
    members = {name: tmp_path / name for name in bundle.digests if name.startswith("machines/")}
    write_bundle(tmp_path / "old.nearfar", about, members)
    said = refusal(load(tmp_path / "old.nearfar").fitted, "alpha")
    assert said == f"{tmp_path / 'old.nearfar'}: says nothing of 'decision'; export it again"
