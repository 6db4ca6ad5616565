"""Render config/schema.yaml, the parameters in our signatures and the default values as a page: one row a key."""

import re
from collections.abc import Iterator

import yaml

HEAD = """# Every setting

Made by `make docs` from [config/schema.yaml](../config/schema.yaml), the signatures that take the parameters, and the
values and remarks of [config.yaml](../config/config.yaml), [submission.yaml](../config/submission.yaml) and
[pretraining.yaml](../config/pretraining.yaml); do not edit. Put what you change in a file of your own and give it with
`--configfile`: it is merged over these values. A key that is not listed here is refused. `<name>` stands for a name of
your choice, `[]` for each entry of a list, – for a key that the default configuration leaves out.
"""
KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
KINDS |= {"null": "`null`", "object": "mapping", "array": "list"}
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
ABSENT = object()


def text(schema: dict, values: dict, remarks: dict[str, str]) -> str:
    """Return the page: a table for each key of ``schema`` at the top, with the defaults ``values``.

    A key without description has its remark, by its dotted name.
    """
    tables = {"General": []}
    for key, part in schema["properties"].items():
        described = _rows(schema, part, key, values.get(key, ABSENT))
        rows = [
            f"| `{at}` | {default} | {said or remarks.get(at, '')} | {may} |" for at, default, said, may in described
        ]
        tables.setdefault(key if len(rows) > 1 else "General", []).extend(rows)
    head = "| key | default | meaning | allowed |\n|---|---|---|---|\n"
    sections = [f"## {title}\n\n{head}" + "\n".join(rows) + "\n" for title, rows in tables.items()]
    return "\n".join([HEAD, *sections])


def remarks(source: str) -> dict[str, str]:
    """Return the comment at the end of the line of each key in a YAML text, by dotted key."""
    lines, found = source.splitlines(), {}

    def visit(node: yaml.Node, key: str) -> None:
        for name, value in node.value if isinstance(node, yaml.MappingNode) else []:
            place = f"{key}.{name.value}".lstrip(".")
            block = isinstance(value, yaml.CollectionNode) and not value.flow_style
            end = name.end_mark if block else value.end_mark
            if comment := re.search(r"#\s*(.*)", lines[end.line][end.column :]):
                found[place] = _cell(comment[1])
            visit(value, place)

    visit(yaml.compose(source, Loader=yaml.SafeLoader), "")
    return found


def _rows(schema: dict, part: dict, key: str, value: object) -> Iterator[tuple[str, str, str, str]]:
    """Yield key, default, meaning and allowed values of a key and of all keys below it."""
    part = _resolved(schema, part)
    yield key, _default(part, value), _cell(_meaning(part)), _cell(_allowed(schema, part))
    known = value if isinstance(value, dict) else {}
    for branch in [part, *(_resolved(schema, other) for other in _alternatives(part))]:
        for name, below in branch.get("properties", {}).items():
            yield from _rows(schema, below, f"{key}.{name}", known.get(name, ABSENT))
        for below in [*branch.get("patternProperties", {}).values(), branch.get("additionalProperties")]:
            if isinstance(below, dict):
                yield from _rows(schema, below, f"{key}.<name>", ABSENT)
        if _below(items := _resolved(schema, branch.get("items", {}))):
            yield from _rows(schema, items, f"{key}[]", ABSENT)


def _resolved(schema: dict, part: dict) -> dict:
    """Return ``part`` with its $ref and allOf merged in; what stands beside them wins."""
    merged = {}
    if "$ref" in part:
        target = schema
        for step in part["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        merged |= _resolved(schema, target)
    for other in part.get("allOf", []):
        merged |= _resolved(schema, other)
    return merged | {name: given for name, given in part.items() if name not in ("$ref", "allOf")}


def _alternatives(part: dict) -> list[dict]:
    return [*part.get("anyOf", []), *part.get("oneOf", [])]


def _below(part: dict) -> bool:
    """Return whether a schema has keys of its own."""
    return any(part.get(word) for word in ("properties", "patternProperties", "additionalProperties"))


def _default(part: dict, value: object) -> str:
    """Return the default as YAML on one line; of a mapping with rows of its own only the names that have none."""
    if value is ABSENT:
        return "–"
    if isinstance(value, dict) and _below(part):
        return ", ".join(f"`{name}`" for name in value if name not in part.get("properties", {}))
    line = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return _cell(f"`{line.removesuffix('...' + chr(10)).strip()}`")


def _allowed(schema: dict, part: dict) -> str:
    """Return the values that a schema allows, in words."""
    if _alternatives(part):
        branches = (_resolved(schema, other) for other in _alternatives(part))
        return ", or ".join(dict.fromkeys(_allowed(schema, branch) for branch in branches))
    if "const" in part or "enum" in part:
        return ", ".join(f"`{_plain(value)}`" for value in part.get("enum", [part.get("const")]))
    kinds = part.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    kinds = sorted(kinds, key="null".__ne__)  # first, so that it does not read as one of a list's entries
    return ", or ".join(_kind(schema, part, kind) for kind in kinds)


def _kind(schema: dict, part: dict, kind: str) -> str:
    words = [KINDS[kind]]
    words += [f"{said} {part[bound]:g}" for bound, said in BOUNDS.items() if bound in part]
    if kind == "array":
        words += [_count(part, "Items", "entry", "entries"), "none twice" if part.get("uniqueItems") else ""]
        each = _allowed(schema, _resolved(schema, part.get("items", {})))
        words += [f"each {each}" if each not in ("", "mapping") else ""]
    if kind == "object":
        words += [_count(part, "Properties", "key", "keys"), _pattern(part.get("propertyNames", {}), "names matching")]
    if kind == "string":
        words += [_count(part, "Length", "character", "characters"), _pattern(part, "matching")]
    return ", ".join(word for word in words if word)


def _count(part: dict, what: str, one: str, more: str) -> str:
    least, most = part.get(f"min{what}"), part.get(f"max{what}")
    if least is None and most is None:
        return ""
    if least == most:
        return f"{least} {one if least == 1 else more}"
    bounds = [f"at least {least}"] if least is not None else []
    bounds += [f"at most {most}"] if most is not None else []
    return f"{' and '.join(bounds)} {one if (most or least) == 1 else more}"


def _pattern(part: dict, words: str) -> str:
    return f"{words} `{part['pattern']}`" if "pattern" in part else ""


def _meaning(part: dict) -> str:
    """Return the description with nothing that a reader of Markdown would take for HTML."""
    return part.get("description", "").replace("<", "&lt;")


def _plain(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


def _cell(words: str) -> str:
    """Return text for a cell of a Markdown table."""
    return " ".join(words.split()).replace("|", "\\|")
