"""Rules of the house that no linter knows; `make lint` runs these too. A breach is one line."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

import nearfar

LIBRARY = ROOT / "src/nearfar"
STAGES = sorted(folder.name for folder in LIBRARY.iterdir() if (folder / "__init__.py").is_file())
AT_THE_TOP = {"__init__.py", "cli.py", "errors.py", "seeds.py", "settings.py"}
NO_STAGE = {"common"}  # what all rules share
HOSTS = {"127.0.0.1", "git-lfs.github.com", "json-schema.org", "snakemake.github.io", "www.w3.org", "zenodo.org"}
OF_A_MACHINE = re.compile(r"(?<![\w.])/(home|root|Users|work)/\w[\w./-]*")
OUR_PATH = re.compile(r"(?<![\w./-])(?:src|rules|workflow|tests|docs|config|envs|resources)/[\w./-]+")


def modules():
    return sorted(LIBRARY.rglob("*.py"))


def committed(*suffixes):
    """Return the text of every committed file by its path, of ``suffixes`` alone where some are given."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    texts = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and (not suffixes or path.suffix in suffixes) and b"\0" not in (data := path.read_bytes()):
            texts[name] = data.decode("utf-8", errors="replace")
    return texts


def untyped(path):
    """Return what has no type hint of the public functions and methods in a file."""

    def visit(body, owner):
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from visit(node.body, f"{owner}{node.name}.")
            elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name.startswith("__")):
                yield from (f"{owner}{node.name}: {what}" for what in without_hint(node, owner))

    return list(visit(ast.parse(path.read_text(encoding="utf-8")).body, ""))


def without_hint(node, owner):
    """Return the parameters of a function that have no hint, and "return"; ``self`` and what returns None by law go."""
    static = any(isinstance(word, ast.Name) and word.id == "staticmethod" for word in node.decorator_list)
    taken = [*node.args.posonlyargs, *node.args.args][1 if owner and not static else 0 :]
    taken += [*node.args.kwonlyargs, *filter(None, [node.args.vararg, node.args.kwarg])]
    bare = [argument.arg for argument in taken if argument.annotation is None]
    return bare + (["return"] if node.returns is None and node.name != "__init__" else [])


def test_packages_are_empty():
    full = [str(path.relative_to(LIBRARY)) for path in LIBRARY.rglob("__init__.py") if path.read_bytes()]
    assert full == ["__init__.py"], f"import where it is used, and keep these empty: {full}"


def test_the_top_package_has_nearfar_load_and_nothing_that_every_import_would_pay_for():
    body = ast.parse((LIBRARY / "__init__.py").read_text(encoding="utf-8")).body
    assert [(type(node).__name__, getattr(node, "name", None)) for node in body] == [("FunctionDef", "__getattr__")]
    with pytest.raises(AttributeError, match="no attribute 'unload'"):
        nearfar.unload  # noqa: B018


def test_at_the_top_of_the_library_is_what_every_stage_uses():
    assert {path.name for path in LIBRARY.glob("*.py")} == AT_THE_TOP


def test_scripts_rules_and_tests_use_the_words_of_the_library():
    scripts = {folder.name for folder in (ROOT / "workflow/scripts").iterdir() if any(folder.glob("*.py"))}
    tests = {folder.name for folder in (ROOT / "tests/unit").iterdir() if any(folder.glob("test_*.py"))}
    rules = {path.stem for path in (ROOT / "rules").iterdir()} - NO_STAGE
    strangers = {where: sorted(words - set(STAGES)) for where, words in locals().items()}
    assert strangers == {"scripts": [], "tests": [], "rules": []}, f"known words: {STAGES}"
    assert not scripts - rules, "scripts that no rules/<stage>.smk or rules/<stage>/ runs"
    assert not scripts - tests, "stages without tests/unit/<stage>"


def test_public_functions_have_type_hints():
    missing = [f"{path.relative_to(ROOT)}: {line}" for path in modules() for line in untyped(path)]
    assert not missing, "\n".join(missing)


def test_a_missing_hint_is_found(tmp_path):
    code = """
def bare(a, *, b: int): ...
def _private(a): ...
def full(a: int, *rest: str, **more: int) -> None: ...
class Record:
    def __init__(self, size, deep: int = 0): self.size = size
    def method(self): ...
    @staticmethod
    def static(a) -> int: ...
    @classmethod
    def made(cls) -> "Record": ...
"""
    path = tmp_path / "some.py"
    path.write_text(code)
    assert untyped(path) == [
        "bare: a",
        "bare: return",
        "Record.__init__: size",
        "Record.method: return",
        "Record.static: a",
    ]


def test_records_name_the_types_of_their_fields():
    found = [path for path in modules() if re.search(r"\bnamedtuple\(", path.read_text(encoding="utf-8"))]
    assert not found, "write a dataclass or a typing.NamedTuple"


def test_no_committed_file_knows_the_machine_it_was_written_on():
    found = [f"{name}: {hit[0]}" for name, text in committed().items() for hit in OF_A_MACHINE.finditer(text)]
    assert not found, "\n".join(found)


def test_no_committed_file_names_a_host_that_is_not_known():
    hosts = {(name, host) for name, text in committed().items() for host in re.findall(r"https?://([\w.-]+)", text)}
    assert not {pair for pair in hosts if pair[1] not in HOSTS}, "a package registry, or one to add to HOSTS"


def test_every_path_of_ours_that_a_file_names_is_there():
    texts = committed(".md", ".py", ".smk", ".yaml", ".toml", ".sh").items()
    texts = [(name, text) for name, text in texts if not name.startswith("tests/")]  # which invent some
    named = {(name, hit.rstrip("./-")) for name, text in texts for hit in OUR_PATH.findall(text)}
    stale = sorted(f"{name}: {path}" for name, path in named if not list(ROOT.glob(path)))
    assert not stale, "\n".join(stale)


def test_the_readme_can_be_read_at_one_sitting():
    assert len(Path(ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90
