"""The documentation as a site: built without a warning, and complete without a network or a server."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from browser import needs_chromium, tab
from project import ROOT

EXTERNAL = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=["']?(?:https?:)?//[^"'\s>]+""")


def build(source: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """`make docs` on the pages of `source`, without writing into the project."""
    words = (sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(folder / ".doctrees"), str(source))
    return subprocess.run((*words, str(folder / "site")), cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("docs")
    done = build(ROOT / "docs", folder)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\nEvery page needs a line in docs/index.md"
    return folder / "site"


def test_the_site_is_built_without_a_warning_and_needs_no_network(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = re.sub(r"<link[^>]*rel=\"?canonical[^>]*>", "", page.read_text())
        assert not EXTERNAL.findall(text), page
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"url\([\"']?(?:https?:)?//", sheet.read_text()), sheet


def test_the_search_has_every_page(site: Path) -> None:
    script = (site / "searchindex.js").read_text()
    index = json.loads(script.removeprefix("Search.setIndex(").removesuffix(")"))
    pages = {str(page.relative_to(site)) for page in site.rglob("*.html")}
    assert pages - {"search.html", "genindex.html"} == {f"{name}.html" for name in index["docnames"]}


@pytest.mark.slow
@needs_chromium
def test_the_search_works_in_a_page_opened_as_a_file(site: Path) -> None:
    with tab() as page:
        page.goto(f"{(site / 'index.html').as_uri()}")
        page.get_by_placeholder("Search").fill("temperature gate")
        page.keyboard.press("Enter")
        page.locator("#search-results li").first.wait_for()
        assert "Models and equations" in page.locator("#search-results").inner_text()


def test_equations_are_typeset_when_the_site_is_built(site: Path) -> None:
    text = (site / "reference/models.html").read_text()
    assert text.count('<div class="equation"><span role="img"') > 5
    assert "operatorname" not in re.sub(r'aria-label="[^"]*"', "", text)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[a page](gone.md)", "gone.md"),
        ("[a heading](#gone)", "gone"),
        ("$\\unheardof{x}$", "unknown LaTeX command"),
        ("![a picture](gone.png)", "gone.png"),
    ],
)
def test_what_leads_nowhere_fails_the_build(tmp_path: Path, line: str, told: str) -> None:
    source = tmp_path / "docs"
    shutil.copytree(ROOT / "docs/static", source / "static")
    shutil.copy(ROOT / "docs/conf.py", source)
    (source / "index.md").write_text(f"# One page\n\n{line}\n")
    done = build(source, tmp_path)
    assert done.returncode != 0
    assert told in done.stderr


def test_nothing_but_pages_and_images_is_published(site: Path) -> None:
    assert not list(site.rglob("*.py"))
    assert not list(site.rglob("*.md*"))


def test_links_of_the_readme_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (ROOT / target).exists(), f"{page.name}: {target}"
