"""What a run can be asked for, said to someone who asked for something else."""

import re
from collections.abc import Collection, Iterable
from itertools import islice
from pathlib import PurePath

WILDCARD = re.compile(r"\{(\w+)\}")
MOST = 20  # names in a line


def no_such_target(
    target: str, results: str, outputs: Iterable[str], names: dict[str, Collection[str]], rules: Iterable[str]
) -> str:
    """Return a line that says why no rule makes ``target``, and what there is in its place.

    results: the results folder; outputs: the paths that rules make, with {wildcards}; names: dict from a wildcard to
    the names it may stand for; rules: those that can be asked for by name.
    """
    if PurePath(target).name == target:
        return f"{target}: no such target; there are {listed(rules)}, and files such as {results}/<system>/eval.csv"
    patterns = [_below(results, output) for output in outputs if PurePath(output).is_relative_to(results)]
    said = _elsewhere(target, results, patterns, names)
    if not said and PurePath(target).is_relative_to(results):
        inside = _below(results, target)
        said = _unknown_name(inside, patterns, names) or _siblings(inside, results, patterns, names)
    if not said:
        tables = [pattern for pattern in patterns if "/" not in pattern or pattern.startswith("{system}/")]
        said = f"no rule makes it; below {results} there are {_shown(tables)}"
    return f"{target}: {said}"


def listed(names: Iterable[str]) -> str:
    """Return names in a line, the first of very many."""
    names = list(dict.fromkeys(names))
    return ", ".join(names[:MOST]) + (f" and {len(names) - MOST} more" if len(names) > MOST else "")


def _below(folder, path):
    return str(PurePath(path).relative_to(folder))


def _elsewhere(target, results, patterns, names):
    """Return what to say of a result that another results folder would have."""
    parts = PurePath(target).parts
    for i in range(1, len(parts)):
        tail = "/".join(parts[i:])
        if any(not _wrong(values, names) for values in _matches(tail, patterns)):
            folder = PurePath(*parts[:i])
            return f"results: is {results}; ask for {results}/{tail}, or add the --configfile with results: {folder}"
    return None


def _unknown_name(inside, patterns, names):
    """Return which name in a path stands for nothing, where the rest is that of a result."""
    wrong = filter(None, (_wrong(values, names) for values in _matches(inside, patterns)))
    for key, value in islice(min(wrong, key=len, default={}).items(), 1):
        return f"no such {key}, {value}; there are {listed(names[key])}"
    return None


def _siblings(inside, results, patterns, names):
    """Return what else can be made in a folder that there is."""
    folder, beside = str(PurePath(inside).parent), []
    for pattern in patterns:
        values = next(_matches(folder, [str(PurePath(pattern).parent)]), None)
        if values is not None and not _wrong(values, names):
            beside.append(PurePath(pattern).name)
    return f"no rule makes it; in {PurePath(results, folder)} there are {_shown(beside)}" if beside else None


def _matches(path, patterns):
    """Yield the values of the wildcards for each pattern that fits a path, whether there are such names or not."""
    for pattern in patterns:
        words = WILDCARD.split(pattern)  # text, wildcard, text, …
        seen, expression = set(), ""
        for text, key in zip(words[::2], [*words[1::2], None], strict=True):
            expression += re.escape(text)
            if key:
                expression += f"(?P={key})" if key in seen else f"(?P<{key}>[^/]+)"
                seen.add(key)
        if match := re.fullmatch(expression, path):
            yield match.groupdict()


def _wrong(values, names):
    return {key: value for key, value in values.items() if key in names and value not in names[key]}


def _shown(patterns):
    return listed(sorted(WILDCARD.sub(r"<\1>", pattern) for pattern in patterns))
