from contextlib import contextmanager


class NearfarError(Exception):
    """What a user can mend: one line that names the file or key, what is wrong, and the remedy."""


@contextmanager
def error_prefix(place):
    """Put ``place`` (a file or key) in front of a NearfarError that the block raises."""
    try:
        yield
    except NearfarError as error:
        raise NearfarError(f"{place}: {error}") from error


def one_of(key, value, known):
    """Return ``value``; raise NearfarError where it is not one of ``known``."""
    if value not in known:
        raise NearfarError(f"{key}: {value!r} is not known; write one of {', '.join(known)}")
    return value
