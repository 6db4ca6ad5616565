"""Hostile submissions: each ends in a line within 200 MB of memory and 10 s, measured in a process of its own."""

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib

import pytest

from nearfar.challenge.check import check
from nearfar.errors import NearfarError

FOLDER = "Doe_Uni_task2_1"
META = f"{FOLDER}/{FOLDER}.meta.yaml"
TABLE = f"{FOLDER}/anomaly_score_{{}}_section_00_test.csv".format
FAN = TABLE("fan")
MEASURED = """
import resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
from nearfar.cli import main
status = main(["validate", sys.argv[1]])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak.split()[1], time.process_time(), file=sys.stderr)
sys.exit(status)
"""


def validated(path):
    """What validate prints of ``path``, and its last word, after a check of its status, memory and time."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, path], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    said, measured = done.stderr.splitlines()
    kilobytes, seconds = map(float, measured.split())
    assert kilobytes < 200_000 and seconds < 10
    return done.stdout.splitlines(), said


def zipped(*members, method=zipfile.ZIP_DEFLATED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return content.getvalue()


def lying(size, data=b"section_00_0000.wav,1\n" * 3, crc=None):
    """A zip whose two headers tell another size, and on demand another checksum, than its one entry has."""
    content = bytearray(zipped((FAN, data)))
    for start, field in ((0, 14), (content.index(b"PK\1\2"), 16)):
        content[start + field + 8 : start + field + 12] = struct.pack("<I", size)
        if crc is not None:
            content[start + field : start + field + 4] = struct.pack("<I", crc)
    return bytes(content)


def crowd(count):
    """A directory of ``count`` entries that all name the same content."""
    one = b"PK\1\2" + struct.pack("<6H3I5H2I", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, count * len(one), 31, 0)
    return b"PK\3\4" + bytes(27) + one * count + end


def laughs(width=9):
    lines = ["a: &a [" + ", ".join(["lol"] * width) + "]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * width)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines)


def many(name, text, count):
    return zipped(*((name(f"m{number}"), text) for number in range(count)))


def rows(count):
    return "".join(f"section_00_source_test_normal_{i % 10_000:04d}_{i:x}.wav,1\n" for i in range(count))


NEST = zipped(("0.zip", zipped(("0.zip", zipped((FAN, bytes(10**7)))))))
SMALLER = zlib.crc32(b"section_00_0000.wav,1\n")  # of the first row alone
# case: the zip, what its first breach or, without one, the last word says
ZIPS = {
    "a million entries": (crowd(1_000_000), "no readable zip (a directory of 47,000,000 bytes, too many entries)"),
    "2,000 entries": (crowd(2000), "no readable zip (more than 1,000 entries)"),
    "a bomb": (zipped((FAN, bytes(10**8))), "fan_section_00_test.csv: cannot be unpacked (more than 1,048,576 bytes)"),
    "a bomb of another method": (zipped((FAN, bytes(10**8)), method=zipfile.ZIP_BZIP2), "another method than deflate"),
    "a bomb that says it is small": (lying(10, bytes(10**8)), "cannot be unpacked (more than 1,048,576 bytes)"),
    "a size too small": (lying(22, crc=SMALLER), "cannot be unpacked (Bad CRC-32"),
    "a size too small, the checksum right": (lying(22), "66 bytes, of which the header tells 22); make the zip again"),
    "a size too large": (lying(2**31), "66 bytes, of which the header tells 2,147,483,648); make the zip again"),
    "a bomb in many files": (many(TABLE, bytes(10**6), 40), "its .csv files hold more than 8,388,608 bytes; take"),
    "a bomb beside": (zipped((FAN, "a,1\n"), ("report.pdf", bytes(2**26 + 1))), "report.pdf: cannot be unpacked (more"),
    "zips in zips": (zipped(*((f"{i}.zip", NEST) for i in range(16))), "no folder <Surname>"),
    "a name of nothing": (zipped((FAN, "")).replace(FAN.encode(), bytes(len(FAN))), "an entry without a name); give"),
    "a wrong end": (b"PK\5\6" + b"\xff" * 18, "no readable zip (Bad offset for central directory)"),
}
# case: member of the zip, what one of the breaches that are printed says
MEMBERS = {
    "blank lines": ((FAN, b"\n" * 10**6), f"{FAN}, line 1: empty; delete it"),
    "lines of junk": ((FAN, b"a\n" * 500_000), f"{FAN}, line 2: 1 columns; write two"),
    "rows of other clips": ((FAN, rows(20_000)), "decision_result_fan_section_00_test.csv: missing"),
    "one endless line": ((FAN, b"x" * 10**6), f"{FAN}, line 1: 1 columns; write two"),
    "one line of commas": ((FAN, b"," * 10**6), "line 1: 1000001 columns; write two"),
    "an endless value": ((FAN, b"section_00_0000.wav," + b"x" * 10**6), f"line 1: score '{'x' * 80}'; write a finite"),
    "an endless number": ((FAN, b"section_00_0000.wav," + b"1" * 10**6), f"line 1: score '{'1' * 80}'; write a finite"),
    "zips in zips": ((f"{FOLDER}/42.zip", NEST), f"{FOLDER}/42.zip: not a file of the format; name it"),
    "a long name": ((f"{FOLDER}/{'n' * 60_000}.txt", ""), "nnn … nnn"),
    "aliases of aliases": ((META, laughs()), f"{META}, line 5: not YAML (more than 65,536 characters with its aliases"),
    "a long text many times": (
        (META, f"a: &a {'x' * 9000}\nb: [{'*a, ' * 9000}]"),
        "line 2: not YAML (more than 65,536",
    ),
    "an alias of itself": ((META, "a: &a [*a]"), "line 1: not YAML (an alias of what it stands in); mend it"),
    "lists in lists": ((META, "[" * 60_000), "line 1: not YAML (more than 32 mappings and lists in one another)"),
    "mappings in mappings": ((META, "{a: " * 15_000), "line 1: not YAML (more than 32 mappings and lists"),
    "long metadata": ((META, "# all is well\n" * 5000), f"{META}: cannot be unpacked (more than 65,536 bytes)"),
    "no author often": (
        (META, f"submission: {{authors: [{'{}, ' * 16_000}]}}"),
        "is a required property; give lastname",
    ),
    "a long text": ((META, f"submission: {{label: [{'1, ' * 20_000}]}}"), "1, 1, 1, 1, 1] is not of type 'string'"),
    "no truth value": ((META, "submission:\n  label: !!bool perhaps"), "line 2: not YAML (not to be read as bool)"),
    "no time": ((META, "submission:\n  name: !!timestamp soon"), "line 2: not YAML (not to be read as timestamp)"),
    "no date": ((META, "a: 2026-13-45"), "line 1: not YAML (not to be read as timestamp)"),
    "code": ((META, "a: !!python/object/apply:os.system [ls]"), "could not determine a constructor"),
    "a huge number": ((META, f"a: {'9' * 5000}"), "line 1: not YAML (not to be read as int)"),
    "no finite number": ((META, "a: 1\nb: .nan"), "line 2: not YAML (.nan is no finite number)"),
    "a key twice": (
        (META, "submission: {}\nsystem: {}\nsubmission: {}"),
        "line 3: submission stands in line 1 already",
    ),
    "a key twice further in": (
        (META, "a:\n  name: x\n  'name': y"),
        "line 3: name stands in line 2 already; delete one",
    ),
}


@pytest.mark.parametrize("name", ZIPS)
def test_a_zip_of(name, tmp_path):
    content, wanted = ZIPS[name]
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    breaches, said = validated(path)
    assert wanted in (breaches[0] if breaches else said) and ";" in said


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_a_member_of(name, kind, tmp_path):
    (member, content), wanted = MEMBERS[name]
    path = tmp_path / "x.zip"
    path.write_bytes(zipped((member, content)))
    if kind == "folder":
        if "n" * 256 in member:
            pytest.skip("no file system takes that name")
        wanted = wanted.replace("cannot be unpacked (more than 65,536 bytes)", "holds more than 65,536 bytes; take out")
        path = tmp_path / "x"
        with zipfile.ZipFile(tmp_path / "x.zip") as archive:
            archive.extractall(path)
    breaches, said = validated(path)
    assert any(wanted in breach for breach in breaches), breaches[:3]
    assert len(breaches) <= 101 and max(map(len, breaches)) < 500
    assert "breaches of the format" in said


def test_the_breaches_beyond_a_hundred_are_counted(tmp_path):
    for lines, last, total in ((150, "and 53 more", 153), (50_000, "and at least 10,000 more", 10_100)):
        (tmp_path / "x.zip").write_bytes(zipped((META, "a: b: c"), (FAN, "\n" * lines)))
        breaches, said = validated(tmp_path / "x.zip")
        assert len(breaches) == 101 and breaches[-1] == last and f"breaches of the format: {total};" in said


def fifo(folder):
    os.mkfifo(folder / "fifo")
    return folder / "fifo", "fifo: not a directory; give a zip or the folder"


def dangling(folder):
    (folder / "link").symlink_to("nowhere")
    return folder / "link", "link: no such file or directory; give a zip or the folder"


def device(folder):
    return "/dev/zero", "/dev/zero: not a directory; give a zip"


def long_name(folder):
    return f"{folder}/{'n' * 300}", "file name too long; give a zip"


def crowded(folder):
    for number in range(1001):
        (folder / str(number)).touch()
    return folder, "more than 1,000 files and folders in it; give a zip or the folder"


@pytest.mark.parametrize("make", [fifo, dangling, device, long_name, crowded])
def test_what_is_no_submission(make, tmp_path):
    path, wanted = make(tmp_path)
    breaches, said = validated(path)
    assert wanted in said and not breaches


def test_what_cannot_be_read_in_a_folder(tmp_path):
    (tmp_path / FOLDER / "loop").mkdir(parents=True)
    (tmp_path / FOLDER / "loop/back").symlink_to("..")
    os.mkfifo(tmp_path / FAN)
    (tmp_path / TABLE("saw")).symlink_to("nowhere")
    (tmp_path / META).symlink_to("/dev/zero")
    breaches, _ = validated(tmp_path)
    assert f"{META}: is no regular file; put the file itself there" in breaches
    assert f"{FAN}: is no regular file; put the file itself there" in breaches
    assert f"{TABLE('saw')}: cannot be read (no such file or directory); mend that, or take it out" in breaches
    assert sum("loop" in breach for breach in breaches) == 1


@pytest.mark.parametrize("place", ["", "/inner"])
def test_a_folder_without_permission(place, tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    scan = os.scandir

    def shut(path):  # root, who runs some tests, may read everything
        if str(path) == f"{tmp_path}{place}":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", shut)
    with pytest.raises(NearfarError, match=f"^{tmp_path}: .*permission denied; give a zip or the folder"):
        check(tmp_path)
