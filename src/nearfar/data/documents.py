"""Files from outside: regular ones alone, and YAML and JSON of bounded size and depth, in which no key stands twice."""

import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import BinaryIO

import yaml

from nearfar.errors import NearfarError

LONGEST = 2**16  # characters of a YAML text, and of what it says with its aliases written out
DEEPEST = 32  # mappings and lists in one another
LARGEST = 2**20  # bytes of a JSON text
INTEGER = 2**63  # no whole number that anything here counts comes near
MISREAD = (ValueError, LookupError, AttributeError, ArithmeticError, TypeError)  # what PyYAML lets through


def open_regular(path: str | Path) -> BinaryIO:
    """Return a file opened for reading; raises NearfarError, without the path, where it is none or not to be read.

    A fifo or a device, on which reading might never end, is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise NearfarError(f"cannot be read ({error.strerror.lower()}); mend that, or take it out") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NearfarError("is no regular file; put the file itself there")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: str | Path, most: int = LARGEST) -> bytes:
    """Return what a file holds; raises NearfarError as open_regular does, and for more than ``most`` bytes."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise NearfarError(f"holds more than {most:,} bytes; take out what does not belong there")
    return content


def read_text(path: str | Path) -> str:
    """Return the text in a file; raises NearfarError as read_bytes does, and for what is not UTF-8."""
    content = read_bytes(path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NearfarError(f"line {line}: not UTF-8; save it as that") from None


def parse_yaml(text: str) -> tuple[object, yaml.Node | None]:
    """Return the value of a YAML text and its node, which knows the lines; both None of an empty text.

    Raises NearfarError, which begins with the line, for what is no YAML or beyond the bounds above, for a key that
    stands twice, and for a number that is not finite or takes more than 64 bits.
    """
    with _faults_as_lines(text):
        loader = _Loader(text)
        node = loader.get_single_node()
        return None if node is None else loader.construct_document(node), node


def compose_yaml(text: str) -> yaml.Node | None:
    """Return the node of a YAML text; raises NearfarError as parse_yaml does, but for values, which it leaves alone."""
    with _faults_as_lines(text):
        return _Loader(text).get_single_node()


@contextmanager
def _faults_as_lines(text: str) -> Iterator[None]:
    if len(text) > LONGEST:
        raise NearfarError(f"line 1: more than {LONGEST:,} characters of YAML; shorten it")
    try:
        yield
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NearfarError(f"line {line}: not YAML (no text: {chr(error.character)!r}); mend it") from None
    except yaml.MarkedYAMLError as error:
        raise NearfarError(f"line {error.problem_mark.line + 1}: not YAML ({error.problem}); mend it") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader; it counts what it composes, an alias for all that it stands for."""

    def __init__(self, text):
        super().__init__(text)
        self.size, self.depth, self.sizes = 0, 0, {}

    def compose_node(self, parent, index):
        event, before = self.peek_event(), self.size
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self.sizes:
                raise _fault(event, "an alias of what it stands in")
            self.size += self.sizes.get(event.anchor, 0)
        else:
            self.size += 1 + len(getattr(event, "value", ""))
        if self.size > LONGEST:
            raise _fault(event, f"more than {LONGEST:,} characters with its aliases written out")
        if self.depth + isinstance(event, yaml.CollectionStartEvent) > DEEPEST:
            raise _fault(event, f"more than {DEEPEST} mappings and lists in one another")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if event.anchor:
            self.sizes[event.anchor] = self.size - before
        return node

    def compose_mapping_node(self, anchor):
        node, lines = super().compose_mapping_node(anchor), {}
        for key, _ in node.value:
            name, line = self._key(key), key.start_mark.line + 1
            if name in lines:
                raise NearfarError(f"line {line}: {key.value} stands in line {lines[name]} already; delete one")
            lines[name] = line
        return node

    def _key(self, node):
        """Return the value of a key: 1 and 0x1, or true and yes, are the same."""
        if node.tag.endswith(":merge"):
            return node.value
        value = self.construct_object(node) if isinstance(node, yaml.ScalarNode) else ...
        if not isinstance(value, (str, int, float, date, type(None))):
            raise _fault(node, "a key that is no plain value")
        return value

    def construct_object(self, node, deep=False):
        try:
            value = super().construct_object(node, deep)
        except MISREAD:
            raise _fault(node, f"not to be read as {node.tag.rpartition(':')[2]}") from None
        if isinstance(value, (int, float)):
            _refuse_odd(value, node)
        return value


def _fault(at, problem):
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


def _refuse_odd(value, node):
    if isinstance(value, float) and not math.isfinite(value):
        raise _fault(node, f"{node.value} is no finite number")
    if abs(value) >= INTEGER and isinstance(value, int):
        raise _fault(node, "a number of more than 64 bits")


def parse_json(text: str) -> object:
    """Return the value of a JSON text; raises NearfarError for what parse_yaml refuses.

    The depth is Python's to bound, and the size read_bytes'.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_mapping, parse_int=_whole, parse_float=_finite, parse_constant=_finite
        )
    except json.JSONDecodeError as error:
        raise NearfarError(f"line {error.lineno}: not JSON ({error.msg}); mend it") from None
    except RecursionError:
        raise NearfarError("not JSON (lists and objects too deep in one another); mend it") from None


def _mapping(pairs):
    found = {}
    for name, value in pairs:
        if name in found:
            raise NearfarError(f"{name} stands twice in one object; delete one")
        found[name] = value
    return found


def _whole(digits):
    if len(digits) > len(str(INTEGER)) or abs(int(digits)) >= INTEGER:
        raise NearfarError(f"{digits[:20]}…: a number of more than 64 bits; mend it")
    return int(digits)


def _finite(text):
    if not math.isfinite(value := float(text)):
        raise NearfarError(f"{text[:20]}: no finite number; write one")
    return value
