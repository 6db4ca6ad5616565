"""Pages of figures that a benchmark writes, one section at a time."""

from pathlib import Path

from nearfar.jobs.files import replacing


def write_section(path: Path, head: str, title: str, text: str) -> None:
    """Put ``text`` under ``## title`` of a page, last where that is new; the other sections stay as they are."""
    _, *old = path.read_text(encoding="utf-8").split("\n## ") if path.is_file() else [""]
    sections = dict(part.split("\n", 1) for part in old) | {title: f"\n{text}"}
    parts = [f"{name}\n{body.rstrip()}\n" for name, body in sections.items()]
    with replacing(path) as temporary:
        temporary.write_text("\n## ".join([head.rstrip() + "\n", *parts]), encoding="utf-8")
