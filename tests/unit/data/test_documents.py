"""YAML and JSON from outside: what is read as PyYAML and json read it, and what is refused."""

import os

import pytest
import yaml
from conftest import ROOT

from nearfar.data.documents import DEEPEST, open_regular, parse_json, parse_yaml, read_bytes
from nearfar.errors import NearfarError, error_prefix, one_line


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_our_own_files_are_read_as_pyyaml_reads_them(path):
    value, node = parse_yaml(path.read_text())
    assert value == yaml.safe_load(path.read_text()) and node.start_mark.line >= 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a",
        "a: &a {x: 1}\no: {i: &b {<<: *a, x: 2}}\nt: {<<: *b}",
        "a: &b [1, 2.5, 2026-01-02, yes, ~]\nb: [*b, *b, !!str 5, !!set {x}]",
        "2: a\n1.5: b\nyes: c\n~: d\n'yes': e",
        "[" * DEEPEST + "]" * DEEPEST,
    ],
)
def test_what_is_sound_is_read_as_pyyaml_reads_it(text):
    assert parse_yaml(text)[0] == yaml.safe_load(text)


YAML = {
    "a: 1\nb: 2\na: 3": "line 3: a stands in line 1 already; delete one",
    "a:\n- {x: 1, y: 2, x: 1}": "line 2: x stands in line 2 already",
    "1: a\n0x1: b": "line 2: 0x1 stands in line 1 already",
    "1: a\nyes: b": "line 2: yes stands in line 1 already",  # Python's True is 1
    "yes: a\ntrue: b": "line 2: true stands in line 1 already",
    "a: &a {x: 1}\nb: {<<: *a, <<: *a}": "line 2: << stands in line 2 already",
    "!!set {a, a}": "line 1: a stands in line 1 already",
    "? [a]\n: b": "line 1: not YAML (a key that is no plain value)",
    "? !!map x\n: b": "line 1: not YAML (a key that is no plain value)",
    "a: 1\nb: .nan": "line 2: not YAML (.nan is no finite number); mend it",
    "[-.inf]": "line 1: not YAML (-.inf is no finite number)",
    "a: 1e999\nb: 1.0e+999": "line 2: not YAML (1.0e+999 is no finite number)",
    "a: 0x" + "f" * 20: "line 1: not YAML (a number of more than 64 bits)",
    "a: -" + "9" * 19: "line 1: not YAML (a number of more than 64 bits)",
    "a: " + "1:" * 1000 + "1.5": "line 1: not YAML (not to be read as float)",
    "a: !!int x": "line 1: not YAML (not to be read as int)",
    "\n\na: !!bool x": "line 3: not YAML (not to be read as bool)",
    "a: !!timestamp x": "line 1: not YAML (not to be read as timestamp)",
    "a: !!python/name:os.system": "could not determine a constructor for the tag",
    "a: !mine b": "could not determine a constructor for the tag",
    "a: b\nc: \0": "line 2: not YAML (no text: '\\x00')",
    "a: b\n---\nc: d": "line 2: not YAML (but found another document)",
    "a: *b": "line 1: not YAML (found undefined alias 'b')",
    "a: [1\nb: 2": "line 2: not YAML (expected ',' or ']'",
    "a: &a {b: *a}": "line 1: not YAML (an alias of what it stands in)",
    "[" * (DEEPEST + 1): f"line 1: not YAML (more than {DEEPEST} mappings and lists in one another)",
    "- " * (DEEPEST + 1): f"line 1: not YAML (more than {DEEPEST} mappings and lists in one another)",
    "x" * 70_000: "line 1: more than 65,536 characters of YAML; shorten it",
    f"a: &a {'x' * 600}\nb: [{'*a, ' * 110}]": "line 2: not YAML (more than 65,536 characters with its aliases written",
}


@pytest.mark.parametrize("text", YAML, ids=lambda text: ascii(text)[:40])
def test_yaml_that_is_refused(text):
    with pytest.raises(NearfarError) as error:
        parse_yaml(text)
    assert YAML[text] in str(error.value) and ";" in str(error.value)


JSON = {
    '{"a": 1, "b": {"c": 1, "c": 2}}': "c stands twice in one object; delete one",
    '{"a": 1, "a": 1}': "a stands twice in one object",
    "[NaN]": "NaN: no finite number; write one",
    "[-Infinity]": "-Infinity: no finite number",
    "[1e999]": "1e999: no finite number",
    "9" * 5000: "9…: a number of more than 64 bits; mend it",
    "-9223372036854775809": "a number of more than 64 bits",
    '{"a":\n x}': "line 2: not JSON (Expecting value)",
    "": "line 1: not JSON (Expecting value)",
    "[" * 100_000: "not JSON (lists and objects too deep in one another)",
    '{"a":' * 100_000: "not JSON (lists and objects too deep in one another)",
}


@pytest.mark.parametrize("text", JSON, ids=lambda text: ascii(text)[:40])
def test_json_that_is_refused(text):
    with pytest.raises(NearfarError) as error:
        parse_json(text)
    assert JSON[text] in str(error.value) and ";" in str(error.value)


def test_sound_json_is_read():
    assert parse_json('{"a": [1, -2.5e3, true, null, 9223372036854775807]}') == {
        "a": [1, -2500.0, True, None, 2**63 - 1]
    }


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "file").write_bytes(b"four")
    assert read_bytes(tmp_path / "link", 4) == b"four"
    wrong = {
        "fifo": "is no regular file",
        "/dev/zero": "is no regular file",
        "": "is no regular file",
        "dangling": "cannot be read (no such file or directory)",
        "file/x": "cannot be read (not a directory)",
        "n" * 300: "cannot be read (file name too long)",
    }
    for name, fault in wrong.items():
        with pytest.raises(NearfarError) as error:
            open_regular(tmp_path / name)
        assert str(error.value).startswith(fault) and ";" in str(error.value)
    with pytest.raises(NearfarError, match="holds more than 3 bytes; take out"):
        read_bytes(tmp_path / "file", 3)


def test_a_message_is_one_line_of_what_can_be_printed():
    with pytest.raises(NearfarError) as error, error_prefix("a\nb\x1b[31m\udc80"):
        raise NearfarError("x" * 10**6 + "; mend it")
    said = str(error.value)
    assert said.startswith("a\\nb\\x1b[31m\\udc80: xxx") and said.endswith("; mend it") and len(said) < 1100
    assert one_line("é – Ω") == "é – Ω"
