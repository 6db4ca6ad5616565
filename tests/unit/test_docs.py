"""The pages that are made from the configuration."""

import re
from xml.etree import ElementTree

import configuration
import pages
import pipeline
import pytest
import yaml
from conftest import CONFIG

SCHEMA = yaml.safe_load("""
properties:
  one: {description: "a|b of <name>", type: integer, minimum: 1, exclusiveMaximum: 9}
  part:
    type: [object, "null"]
    properties:
      words: {type: array, items: {enum: [near, far]}, minItems: 1, uniqueItems: true}
      shared: {$ref: "#/$defs/share", description: nearer}
      both: {allOf: [{$ref: "#/$defs/share"}], maximum: 2}
      either: {anyOf: [{$ref: "#/$defs/share"}, {type: object, properties: {deep: {type: boolean}}}, {type: "null"}]}
      people: {type: array, items: {type: object, properties: {name: {type: string}}}}
    additionalProperties: {type: string, pattern: "^a|b$"}
$defs:
  share: {description: a share, type: number, minimum: 0, maximum: 1}
""")
VALUES = {"one": 3, "part": {"words": ["near"], "either": None, "people": [], "mine": "b"}}


def rows(page):
    return dict(re.findall(r"^\| `(\S+)` \| (.*) \|$", page, re.M))


@pytest.mark.parametrize(
    ("key", "row"),
    {
        "one": "`3` | a\\|b of &lt;name> | whole number, at least 1, below 9",
        "part": "`mine` | a remark | `null`, or mapping",
        "part.words": "`[near]` |  | list, at least 1 entry, none twice, each `near`, `far`",
        "part.shared": "– | nearer | number, at least 0, at most 1",
        "part.both": "– | a share | number, at least 0, at most 2",
        "part.either": "`null` |  | number, at least 0, at most 1, or mapping, or `null`",
        "part.either.deep": "– |  | `true` or `false`",
        "part.people[].name": "– |  | text",
        "part.<name>": "– |  | text, matching `^a\\|b$`",
    }.items(),
)
def test_a_key_has_its_default_its_meaning_and_what_it_may_be(key, row):
    assert rows(configuration.text(SCHEMA, VALUES, {"part": "a remark", "one": "never said"}))[key] == row


def test_remarks_stand_behind_their_keys():
    source = "a: 1 # the a\nb: # the b\n  c: [1, 2] # the c\n  d: {e: 2} # the d\n  f: 'no # remark'\n# alone\ng: {}\n"
    assert configuration.remarks(source) == {
        "a": "the a",
        "b": "the b",
        "b.c": "the c",
        "b.d": "the d",
        "b.d.e": "the d",
    }


def test_every_default_is_listed():
    def leaves(value, key):
        return (
            [place for name in value for place in leaves(value[name], [*key, name])]
            if isinstance(value, dict)
            else [key]
        )

    listed = rows(pages.pages()["docs/configuration.md"])
    free = ("detectors", "systems", "pretraining.config")  # names and words of others
    keys = [".".join(key) for key in leaves(CONFIG, []) if key]
    assert [key for key in keys if key not in listed and not key.startswith(free)] == []


def test_the_drawing_shows_what_the_systems_use():
    def words(config):
        return {one.text for one in ElementTree.fromstring(pipeline.text(config)).iter() if one.text}

    shown = words(CONFIG)
    assert {"eat/near", "logmel/near", "spatial", "lccr_flow", "system4: raw 0.7"} <= shown
    assert not {"baseline_mse", "autoencoder/near"} & shown
    without = CONFIG | {"systems": {"system1": {"weights": {"raw": 0.5}}}}
    assert "system1: mahalanobis 0.25" in words(without) and not {"spatial", "rtf/pair"} & words(without)


def test_a_stale_page_is_told_from_one_as_made(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    (tmp_path / "a.md").write_text("made")
    assert pages.stale({"a.md": "made", "b.md": ""}) == ["b.md"]
    assert pages.stale({"a.md": "made anew"}) == ["a.md"]
