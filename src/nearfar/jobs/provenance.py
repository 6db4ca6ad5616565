"""The source files a job runs, and their digest: a parameter of the job, which runs again where their content changed.

Snakemake itself sees neither the modules that a script imports nor the content of the script, only its time.
"""

import ast
import hashlib
import os
from functools import cache
from pathlib import Path

from nearfar.backbones.families import CHECKPOINTS
from nearfar.errors import NearfarError
from nearfar.jobs.digests import together

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "resources"  # backbones that nearfar ships, by the name of their folder


def prefer_this_clone() -> None:
    """Let jobs import this clone's modules, whichever nearfar is installed in the environment they run in."""
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), *filter(None, [others])])


@cache
def sources_digest(*scripts: str) -> str:
    """Return a text that changes with the content of a source file that a job with these scripts runs.

    Raises NearfarError as ``sources`` does.
    """
    return together(f"{name} {_content(name)}" for script in scripts for name in sorted(_closure(script)))


@cache
def _content(name):
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()


def sources(*scripts: str) -> list[str]:
    """Return the paths of ``scripts`` (relative to the repository) and of all modules of ours they import.

    Paths are relative to the working directory. Raises NearfarError for a missing file, a syntax error or a
    relative import.
    """
    found = set()
    for script in scripts:
        found |= _closure(script)
    return sorted(os.path.relpath(ROOT / name) for name in found)


def local_backbone(name: str) -> list[str]:
    """Return the files of a backbone that is on this disk or shipped, so that a change of theirs is seen."""
    places = [Path(name), MODELS / name, *Path(name).glob("*"), *(MODELS / name).glob("*")]
    wanted = {".json", ".safetensors", *CHECKPOINTS}
    return sorted(os.path.relpath(path) for path in places if path.is_file() and path.suffix in wanted)


@cache
def _closure(script):
    found, waiting = set(), [script]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imported(name)
    return frozenset(found)


@cache
def imported(name: str) -> list[str]:
    """Return the names (relative to the repository) of our modules that the file ``name`` imports."""
    found = []
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.Import):
            found += [_file(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise NearfarError(f"{name}, line {node.lineno}: relative import; write it as `from nearfar…`")
            found += [_file(node.module, alias.name) for alias in node.names]
    return [file for file in found if file]


@cache
def parsed(name: str) -> ast.Module:
    """Return the syntax tree of a file of ours; raise NearfarError where it is missing or has a syntax error."""
    try:
        return ast.parse((ROOT / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NearfarError(f"{os.path.relpath(ROOT / name)}: no such file; name one that exists") from None
    except SyntaxError as error:
        place = f"{os.path.relpath(ROOT / name)}, line {error.lineno}"
        raise NearfarError(f"{place}: syntax error ({error.msg}); mend it") from None


def _file(module, attribute=None):
    """Return the file of ours that an import names, or None for other people's modules."""
    if module.split(".")[0] != "nearfar":
        return None
    base = "src/" + module.replace(".", "/")
    candidates = [f"{base}/{attribute}.py", f"{base}.py", f"{base}/__init__.py"]
    for candidate in candidates[attribute is None :]:
        if (ROOT / candidate).exists():
            return candidate
    raise NearfarError(f"import of {module}: no such module of ours; mend the import")
