from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONGEST = 1000  # characters of a message


class NearfarError(Exception):
    """What a user can mend: one line that names the file or key, what is wrong, and the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))


class SetupError(NearfarError):
    """What no recording is to blame for: a disk or folder that takes no file, a device that is not there."""


def one_line(text: str, most: int = LONGEST) -> str:
    """Return ``text`` with what cannot be printed escaped, and its middle left out beyond ``most`` characters."""
    if len(text) > most:
        text = f"{text[: most // 2]} … {text[-most // 2 :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@contextmanager
def error_prefix(place: str | Path) -> Iterator[None]:
    """Put ``place`` (a file or key) in front of a NearfarError that the block raises."""
    try:
        yield
    except NearfarError as error:
        raise type(error)(f"{place}: {error}") from error


def one_of(key: str, value: Any, known: Iterable) -> Any:
    """Return ``value``; raise NearfarError where it is not one of ``known``."""
    if value not in known:
        raise NearfarError(f"{key}: {value!r} is not known; write one of {', '.join(known)}")
    return value
