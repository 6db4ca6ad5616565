"""The challenge's data from a server of ours: every fault is one line that names the file and the remedy."""

import hashlib
import io
import json
import os
import re
import shutil
import stat
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from conftest import TOY, Project, write_machine

from nearfar.challenge.download import fetch_archive, fetch_record
from nearfar.challenge.unpack import unpack
from nearfar.errors import NearfarError

RECORD = 7
BYTES = np.random.default_rng(0).bytes(1_000_000)


class Zenodo(ThreadingHTTPServer):
    """Serves ``files`` as one record; ``cut`` ends an answer there; ``ranges`` says whether parts are served."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files, self.listed, self.asked, self.cut, self.ranges = {}, {}, [], None, True

    def record(self):
        entries = [
            {
                "key": name,
                "size": len(content),
                "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
                "links": {"self": f"{self.url}/files/{name}"},
            }
            | self.listed
            for name, content in self.files.items()
        ]
        return json.dumps({"files": entries}).encode()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        server, name = self.server, self.path.split("/")[-1]
        server.asked.append((name, self.headers.get("Range")))
        content = server.record() if self.path == f"/api/records/{RECORD}" else server.files.get(name)
        if content is None:
            return self.send_error(404)
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if server.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : server.cut if name in server.files else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def zenodo(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Zenodo() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.files["dev_alpha.zip"] = BYTES
        yield server
        server.shutdown()


@pytest.fixture
def place(tmp_path):
    """Where the archive goes, and the record beside it."""
    return tmp_path / "archives/dev_alpha.zip"


def fetch(zenodo, path):
    record = path.with_name(f"{RECORD}.json")
    if not record.exists():
        fetch_record(zenodo.url, RECORD, record)
    fetch_archive(record, path)


def refused(function, *arguments, says):
    """Check that the call ends in one line with all the words of ``says``."""
    with pytest.raises(NearfarError) as error:
        function(*arguments)
    assert "\n" not in str(error.value) and ";" in str(error.value)
    assert all(word in str(error.value) for word in says), error.value
    assert not re.match(r"(.+: )\1", str(error.value)), "a prefix twice"


def test_a_whole_archive(zenodo, place):
    fetch(zenodo, place)
    assert place.read_bytes() == BYTES
    assert sorted(path.name for path in place.parent.iterdir()) == ["7.json", "dev_alpha.zip"]


@pytest.mark.parametrize("ranges", [True, False], ids=["continues", "starts again where the server has no ranges"])
def test_a_transfer_cut_in_the_middle(zenodo, place, ranges):
    zenodo.cut, zenodo.ranges = 500_000, ranges
    refused(fetch, zenodo, place, says=["dev_alpha.zip", "of 1,000,000 bytes", "run the target download again"])
    assert not place.exists()
    have = place.with_name(".dev_alpha.zip.part").stat().st_size
    assert 400_000 < have <= 500_000
    zenodo.cut = None
    fetch(zenodo, place)
    assert zenodo.asked[-1] == ("dev_alpha.zip", f"bytes={have}-")
    assert place.read_bytes() == BYTES and not list(place.parent.glob(".*"))


def test_a_longer_part_of_another_version_is_thrown_away(zenodo, place):
    place.parent.mkdir()
    place.with_name(".dev_alpha.zip.part").write_bytes(BYTES * 2)
    fetch(zenodo, place)
    assert place.read_bytes() == BYTES


def test_a_wrong_checksum(zenodo, place):
    zenodo.listed = {"checksum": "md5:" + "0" * 32}
    refused(fetch, zenodo, place, says=["dev_alpha.zip", "md5:000", "deleted", "run the target download again"])
    assert [path.name for path in place.parent.iterdir()] == ["7.json"]


def test_a_file_missing_in_the_record(zenodo, place):
    zenodo.files = {"dev_beta.zip": BYTES}
    refused(fetch, zenodo, place, says=["7.json", "lists no dev_alpha.zip but dev_beta.zip", "mend data.sets"])


def test_a_file_listed_and_not_served(zenodo, place):
    zenodo.listed = {"links": {"self": f"{zenodo.url}/files/gone.zip"}}
    refused(fetch, zenodo, place, says=["gone.zip", "404", f"put {place} there by hand"])


def test_no_such_record(zenodo, tmp_path):
    refused(fetch_record, zenodo.url, 8, tmp_path / "8.json", says=["/api/records/8", "404", "8.json there by hand"])
    assert not list(tmp_path.iterdir())


def test_a_record_without_checksums(zenodo, place):
    zenodo.listed = {"checksum": ""}
    refused(fetch, zenodo, place, says=[f"/api/records/{RECORD}", "checksum", "mend data.sets"])
    assert not place.parent.exists()


def test_no_network(zenodo, place):
    fetch_record(zenodo.url, RECORD, place.with_name(f"{RECORD}.json"))
    zenodo.shutdown()
    zenodo.server_close()
    says = ["127.0.0.1", "ConnectionError", "check the network", f"put {place} there by hand"]
    refused(fetch_archive, place.with_name(f"{RECORD}.json"), place, says=says)


def test_a_full_disk(zenodo, place):
    place.parent.mkdir()
    place.with_name(".dev_alpha.zip.part").symlink_to("/dev/full")
    refused(fetch, zenodo, place, says=["dev_alpha.zip", "no space left on device", "make room"])
    assert not place.exists()


def record_text(**changes):
    entry = {"key": "dev_alpha.zip", "size": 1, "checksum": "md5:0", "links": {"self": "x"}} | changes
    return json.dumps({"files": [entry]})


RECORDS = {
    "a size below nothing": (record_text(size=-1), "no list of files with size"),
    "a size of the sky": (record_text(size=10**15), "no list of files with size"),
    "a size of more than 64 bits": (record_text(size=10**30), "a number of more than 64 bits"),
    "a size with a point": (record_text(size=1.5), "no list of files with size"),
    "a size that is true": (record_text(size=True), "no list of files with size"),
    "no finite size": (record_text(size=float("inf")), "Infinity: no finite number"),
    "a checksum that is a number": (record_text(checksum=5), "no list of files with size"),
    "an address that is a list": (record_text(links={"self": []}), "no list of files with size"),
    "files that are none": ('{"files": 5}', "no list of files with size, checksum and links (TypeError)"),
    "a key twice": ('{"files": [], "files": []}', "files stands twice in one object"),
    "lists in lists": ("[" * 100_000, "too deep in one another"),
    "no text": ("\udcff", "no list of files with size, checksum and links (UnicodeDecodeError)"),
    "a megabyte": (" " * (2**20 + 1), "more than 1,048,576 bytes"),
}


@pytest.mark.parametrize("fault", RECORDS)
@pytest.mark.parametrize("at_hand", [True, False], ids=["on disk", "from the server"])
def test_a_record_with(fault, at_hand, zenodo, place, monkeypatch):
    text, wrong = RECORDS[fault]
    content = text.encode("utf-8", "surrogateescape")
    monkeypatch.setattr(zenodo, "record", lambda: content)
    if at_hand:
        place.parent.mkdir()
        place.with_name("7.json").write_bytes(content)
    refused(fetch, zenodo, place, says=["7.json" if at_hand else f"api/records/{RECORD}", wrong])
    assert not place.exists()


def test_a_server_that_sends_more_than_it_listed(zenodo, place):
    zenodo.listed = {"size": 1000}
    refused(fetch, zenodo, place, says=["dev_alpha.zip.part", "of 1,000 bytes came before the transfer ended"])
    assert place.with_name(".dev_alpha.zip.part").stat().st_size <= 1000 + 2**16 and not place.exists()


def zipped(*members, method=zipfile.ZIP_STORED):
    """A zip of (name, content) members, whole; a member that is a ZipInfo stays as it is."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, text in members:
            archive.writestr(name, text)
    return content.getvalue()


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def telling(size, content):
    """A zip whose directory tells another size of its first entry."""
    content = bytearray(content)
    start = content.index(b"PK\1\2") + 24
    content[start : start + 4] = size.to_bytes(4, "little")
    return bytes(content)


CLIP = ("alpha/train/section_00.wav", "a clip")
ARCHIVES = {
    "a path up": (zipped(CLIP, ("alpha/train/../../../x.wav", "")), "leads out of the folder"),
    "an absolute path": (zipped(CLIP, ("/tmp/train/x.wav", "")), "leads out of the folder"),
    "a path of Windows": (zipped(CLIP, (r"..\..\train\x.wav", "")), "leads out of the folder"),
    "a link": (zipped(CLIP, (link("alpha/train/x.wav"), "/etc/passwd")), "is a link"),
    "a cut archive": (zipped(CLIP)[:-30], "no whole zip archive"),
    "a changed byte": (zipped(CLIP).replace(b"a clip", b"a clap"), "no whole zip archive (Bad CRC-32"),
    "a size too small": (telling(3, zipped(CLIP)), "no whole zip archive (6 bytes, of which the header tells 3)"),
    "a size too large": (telling(2**31, zipped(CLIP)), "6 bytes, of which the header tells 2,147,483,648"),
    "a clip too large": (zipped(("a/train/x.wav", bytes(2**28 + 1)), method=8), "(more than 268,435,456 bytes)"),
    "another method than deflate": (zipped(CLIP, method=zipfile.ZIP_LZMA), "packed by another method than deflate"),
    "20,001 entries": (zipped(*((f"a/train/{i}", "") for i in range(20_001))), "(more than 20,000 entries)"),
    "a name twice": (
        zipped(CLIP, ("alpha/train/section_01.wav", "")).replace(b"_01", b"_00"),
        "alpha/train/section_00.wav stands there twice; nothing was unpacked",
    ),
    "a name in two spellings": (zipped(CLIP, ("alpha//train/./section_00.wav", "b")), "stands there twice"),
    "a long name": (zipped(CLIP, (f"alpha/train/{'n' * 256}", "")), "nnn has a name of more than 255 bytes"),
    "a name with a line's end": (zipped(CLIP, (link("alpha/a\n\x1b[31mb"), "x")), "alpha/a\\n\\x1b[31mb is a link"),
    "no clips": (zipped(("alpha/test/x.wav", "")), "holds no folder train with clips"),
    "two machines": (zipped(CLIP, ("beta/train/x.wav", "")), "holds folders alpha/train and beta/train"),
}


@pytest.mark.parametrize("fault", ARCHIVES)
def test_an_archive_with(fault, tmp_path):
    content, wrong = ARCHIVES[fault]
    archive = tmp_path / "in/dev_alpha.zip"
    archive.parent.mkdir()
    archive.write_bytes(content)
    refused(unpack, archive, tmp_path / "out/alpha/train", says=["in/dev_alpha.zip", wrong])
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["dev_alpha.zip"]


def test_an_archive_that_inflates_to_more_than_a_hundredfold(tmp_path, monkeypatch):
    monkeypatch.setattr("nearfar.challenge.unpack.ALWAYS", 2**20)
    (tmp_path / "a.zip").write_bytes(zipped(*((f"a/train/{i}.wav", bytes(2**19)) for i in range(3)), method=8))
    refused(
        unpack,
        tmp_path / "a.zip",
        tmp_path / "a/train",
        says=["a.zip: inflates to more than 100 times its size; delete"],
    )
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.zip"]


def test_a_disk_that_is_full_while_unpacking(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(zipped(CLIP))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nearfar.challenge.unpack._extract", full)
    says = ["alpha/train: cannot be written (no space left on device); make room"]
    refused(unpack, tmp_path / "a.zip", tmp_path / "alpha/train", says=says)


def test_an_archive_that_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    refused(unpack, tmp_path / "a.zip", tmp_path / "a/train", says=["a.zip: is no regular file"])


@pytest.mark.parametrize("above", ["", "alpha/", "dev_data/raw/alpha/"])
def test_unpacking(above, tmp_path):
    content = zipped(
        (f"{above}train/x.wav", "a clip"),
        ("__MACOSX/alpha/train/._x.wav", "no clip"),
        (f"{above}attributes_00.csv", "a table"),
        (f"{above}test/y.wav", "another"),
    )
    (tmp_path / "a.zip").write_bytes(content)
    for split in ("train", "test"):
        unpack(tmp_path / "a.zip", tmp_path / f"alpha/{split}")
    files = {str(path.relative_to(tmp_path / "alpha")) for path in (tmp_path / "alpha").rglob("*.*")}
    assert files == {"train/x.wav", "test/y.wav", "attributes_00.csv"}
    assert (tmp_path / "alpha/train/x.wav").read_text() == "a clip"


def archive_of(folder, *splits):
    """A zip of a machine's folder with these splits."""
    files = [path for split in splits for path in sorted((folder / split).iterdir())]
    return zipped(*((str(path.relative_to(folder.parent)), path.read_bytes()) for path in files))


def challenge_project(zenodo, folder):
    """A toy project whose data are to be downloaded: alpha in one archive, the unlabelled beta in two."""
    made = folder / "made"
    for machine in ("alpha", "beta"):
        write_machine(made, machine)
    for number, path in enumerate(sorted((made / "beta/test").iterdir())):
        path.rename(path.with_name(f"section_00_{number:04d}.wav"))
    zenodo.files = {
        "dev_alpha.zip": archive_of(made / "alpha", "train", "test"),
        "eval_beta_train.zip": archive_of(made / "beta", "train"),
        "eval_beta_test.zip": archive_of(made / "beta", "test"),
    }
    shutil.rmtree(made)
    training = {"source_train_normal": 8, "target_train_normal": 4}
    test = {f"{domain}_test_{label}": 2 for domain in ("source", "target") for label in ("normal", "anomaly")}
    facts = {"seconds": [0.5], "attributes": ["spd"]}
    sets = {
        "development": ("dev_data/raw", training | test, {"alpha": {"file": "dev_alpha.zip"} | facts}),
        "additional": ("eval_data/raw", training, {"beta": {"file": "eval_beta_train.zip"} | facts}),
        "evaluation": ("eval_data/raw", {"test": 8}, {"beta": {"file": "eval_beta_test.zip"}}),
    }
    words = ("folder", "clips", "machines")
    sets = {name: {"record": RECORD} | dict(zip(words, about, strict=True)) for name, about in sets.items()}
    project = Project(folder, TOY | {"data": {"root": "data", "sets": sets}})
    code = project.folder / "src/nearfar/challenge/download.py"
    code.write_text(code.read_text().replace("https://zenodo.org", zenodo.url))
    return project


def lines(done):
    return [line for line in done.stdout.splitlines() if line.startswith("nearfar: ")]


@pytest.mark.slow
def test_the_target_download(zenodo, tmp_path):
    project = challenge_project(zenodo, tmp_path)
    zenodo.cut = 100_000

    first = project.run("results/one/eval.csv")
    assert first.returncode != 0 and "Traceback" not in first.stdout
    assert re.findall("nearfar: .*", first.stdout) == lines(first)
    assert "alpha/test: absent (and 3 more); run the target download first" in lines(first)[0]
    assert not zenodo.asked

    cut = project.run("download", "--keep-going")
    assert cut.returncode != 0 and "Traceback" not in cut.stdout
    assert len(lines(cut)) == 3 and all("bytes came before the transfer ended" in line for line in lines(cut))

    zenodo.cut = None
    whole = project.run("download")
    assert whole.returncode == 0, whole.stdout
    assert lines(whole) == ["nearfar: results/data.md: all is as expected"]
    assert sum(bool(part) for _, part in zenodo.asked) == 3 and not list(tmp_path.rglob("*.part"))

    asked = len(zenodo.asked)
    shutil.rmtree(tmp_path / "data/eval_data/raw/beta/test")
    (tmp_path / f"data/archives/{RECORD}.json").unlink()
    offline = project.run("download")
    assert offline.returncode == 0 and "unpack" in offline.stdout
    shutil.rmtree(tmp_path / "data/archives")
    planned = {rule for rule, _ in project.planned("download", "results/one/ranking.csv")}
    assert "clips" in planned and not planned & {"record", "archive", "unpack"}
    assert len(zenodo.asked) == asked, "the network was touched although all was there"
