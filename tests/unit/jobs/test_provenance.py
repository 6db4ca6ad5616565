import pytest

from nearfar.errors import NearfarError
from nearfar.jobs import provenance
from nearfar.settings import parameters


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """A repository of our own making."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    for cached in (provenance._closure, provenance.imported, provenance.parsed):
        cached.cache_clear()
    (tmp_path / "src/nearfar/sub").mkdir(parents=True)
    (tmp_path / "src/nearfar/__init__.py").touch()
    (tmp_path / "src/nearfar/a.py").write_text("import numpy\nfrom nearfar import b\n")
    (tmp_path / "src/nearfar/b.py").write_text("def f():\n    from nearfar.sub.c import x\n")
    (tmp_path / "src/nearfar/sub/c.py").write_text("x = 1\n")
    (tmp_path / "script.py").write_text("from nearfar.a import thing\n")
    yield tmp_path
    for cached in (provenance._closure, provenance.imported, provenance.parsed):
        cached.cache_clear()


def test_sources_follow_imports_inside_functions_too(scripts):
    assert provenance.sources("script.py") == [
        "script.py",
        "src/nearfar/a.py",
        "src/nearfar/b.py",
        "src/nearfar/sub/c.py",
    ]


def test_the_digest_follows_the_content_of_every_source(scripts):
    before = provenance.sources_digest("script.py")
    for change, same in (("x = 2\n", False), ("x = 1\n", True)):
        (scripts / "src/nearfar/sub/c.py").write_text(change)
        for cached in (provenance.sources_digest, provenance._content):
            cached.cache_clear()
        assert (provenance.sources_digest("script.py") == before) == same


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from . import b\n", "a.py, line 1: relative import"),
        ("import nearfar.gone\n", "import of nearfar.gone: no such module"),
        ("x = (\n", "a.py, line 1: syntax error"),
    ],
)
def test_what_cannot_be_followed_is_refused(scripts, text, message):
    (scripts / "src/nearfar/a.py").write_text(text)
    with pytest.raises(NearfarError, match=message):
        provenance.sources("script.py")


def test_missing_script_is_refused(scripts):
    with pytest.raises(NearfarError, match="gone.py: no such file"):
        provenance.sources("gone.py")


def test_parameters_are_read_without_an_import():
    assert parameters("src/nearfar/detectors/methods/knn.py", "Detector", "__init__")[1] == {"reference"}
    kinds, needed = parameters("src/nearfar/detectors/methods/flow.py", "Detector", "__init__")
    assert "seed" not in kinds and needed == kinds.keys()
    assert kinds["lr"]["exclusiveMinimum"] == 0 and kinds["reference"]["enum"] == ["domain", "pooled"]


def test_cheap_jobs_import_nothing_heavy(tmp_path):
    """Nothing slow to import, as torch, pandas or scipy, in a job that detects, fuses or evaluates."""
    import subprocess
    import sys

    code = (
        "import sys; from types import SimpleNamespace as Job\n"
        "from nearfar.detectors import crossfit, detection\n"
        "from nearfar.jobs.job import logged\n"
        "from nearfar.systems import evaluation, ranking\n"
        "from nearfar.jobs.files import read_table, read_vectors, write_table, write_vectors\n"
        f"log, path = [r'{tmp_path}/log'], r'{tmp_path}/table.parquet'\n"
        "with logged(Job(log=log, rule='test', wildcards=[])):\n"
        "    [crossfit.load(m) for m in ('mahalanobis', 'knn', 'predictive', 'flow')]\n"
        "    write_table(path, {'file': ['a'], 'score': [1.0]}); read_table(path)\n"
        "    write_vectors(path, ['a'], [[1.0]]); read_vectors(path)\n"
        "heavy = {'torch', 'transformers', 'sklearn', 'pandas', 'scipy', 'peft', 'tqdm', 'soundfile'}\n"
        "heavy = (heavy | {'pyarrow.compute', 'pyarrow.dataset'}) & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
