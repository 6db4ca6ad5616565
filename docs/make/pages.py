"""Write the committed pages that are made from the configuration: docs/pipeline.svg and docs/configuration.md.

.venv/bin/python docs/make/pages.py            # make docs
.venv/bin/python docs/make/pages.py --check    # make lint: the files are as this command would make them
"""

import re
import sys
from pathlib import Path

import configuration
import pipeline
import yaml

from nearfar.settings import parameters

ROOT = Path(__file__).parents[2]
VALUES = ("submission", "pretraining", "config")  # the files of the default configuration


def pages() -> dict[str, str]:
    """Return the text of each page by its path in the repository."""
    sources = [(ROOT / f"config/{name}.yaml").read_text(encoding="utf-8") for name in VALUES]
    values = {key: value for source in sources for key, value in yaml.safe_load(source).items()}
    remarks = {key: said for source in sources for key, said in configuration.remarks(source).items()}
    schema = yaml.safe_load((ROOT / "config/schema.yaml").read_text(encoding="utf-8"))
    add_parameters(schema["properties"])
    return {
        "docs/pipeline.svg": pipeline.text(values),
        "docs/configuration.md": configuration.text(schema, values, remarks),
    }


def add_parameters(known: dict) -> None:
    """Put into the schema what it leaves to our signatures: parameters of methods, plain features and LCCR."""
    features = known["features"]["properties"]
    for path in sorted((ROOT / "src/nearfar/detectors/methods").glob("[a-z]*.py")):
        known["methods"].setdefault("properties", {})[path.stem] = signature(path, "Detector", "__init__")
    for path in sorted((ROOT / "src/nearfar/features").glob("[a-z]*.py")):
        if "def extractor(" in path.read_text(encoding="utf-8"):
            features[path.stem] = signature(path, "extractor")
    for part in features["lccr"]["properties"].values():
        function, file = re.fullmatch(r"parameters of (\w+) in (\S+)", part["description"]).groups()
        part |= signature(ROOT / file, function)


def signature(path: Path, *names: str) -> dict:
    """Return the schema of the parameters that a function (or class and method) in a file takes."""
    file = str(path.relative_to(ROOT))
    kinds = {name: {**kind, "description": ""} for name, kind in parameters(file, *names)[0].items()}
    return {"type": "object", "description": f"parameters of {names[0]} in {file}", "properties": kinds}


def stale(made: dict[str, str]) -> list[str]:
    """Return the pages that are absent or not as made."""
    files = {name: ROOT / name for name in made}
    return [name for name, file in files.items() if not file.is_file() or file.read_bytes() != made[name].encode()]


def main() -> None:
    """Write what has changed, or with --check end with one line a stale page."""
    made = pages()
    changed = stale(made)
    if "--check" in sys.argv[1:]:
        sys.exit("\n".join(f"{name}: not what the configuration makes; run make docs" for name in changed) or 0)
    for name in changed:
        (ROOT / name).write_bytes(made[name].encode())
        print(name)


if __name__ == "__main__":
    main()
