"""Gather the pages of the site in one folder: docs/, the documents outside it, and the notebooks as pages.

    python docs/site/stage.py build/docs

A document stays where a code host shows it. In the site every page lies at its path in the repository, without docs/:
docs/PAPER.md is PAPER.md, data/README.md is data/README.md, README.md the first page. Links are turned accordingly.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "data/README.md")
FILES = ("CITATION.cff", "Dockerfile", "LICENSE")  # which pages link to
LINK = re.compile(r"(?<=\]\()(?P<path>[^)#\s:]+)(?P<anchor>#[^)\s]*)?(?=\))")


def stage(target: Path) -> None:
    """Write the pages, pictures and files of the site; what the folder held is removed."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "docs/pictures", target / "pictures")
    for name in FILES:
        shutil.copyfile(ROOT / name, target / name)
    for source, text in pages():
        page = target / page_of(source)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(site_links(text, source), encoding="utf-8")


def pages() -> Iterator[tuple[str, str]]:
    """The path of each page's file in the repository, and its Markdown."""
    for name in (*OUTSIDE, *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))):
        yield name, (ROOT / name).read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        yield path.relative_to(ROOT).as_posix(), notebook_text(path)


def page_of(source: str) -> str:
    """The path in the site of a file of the repository."""
    return re.sub(r"\.ipynb$", ".md", source.removeprefix("docs/"))


def site_links(markdown: str, source: str) -> str:
    """Turn the relative links of a file in the repository into links between pages of the site."""

    def turn(link: re.Match[str]) -> str:
        target = page_of(normpath((PurePosixPath(source).parent / link["path"]).as_posix()))
        return relpath(target, PurePosixPath(page_of(source)).parent.as_posix()) + (link["anchor"] or "")

    return LINK.sub(turn, markdown)


def notebook_text(path: Path) -> str:
    """A notebook as Markdown: its text and code; the repository keeps no outputs."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in sources) + "\n"


if __name__ == "__main__":
    stage(Path(sys.argv[1]))
