"""The documentation as a site (Sphinx): `make docs`, then open site/index.html.

The site needs no network and no server: fonts are the reader's, equations become MathML when the site is built, and the
search index is a script that also loads from a file.
"""

from __future__ import annotations

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

project = "iaca"
author = "The iaca authors"
extensions = ["myst_parser"]
exclude_patterns = ["README.md"]
nitpicky = True

html_theme = "furo"
html_title = "iaca"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["tables.css"]
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]  # ```math is what GitHub typesets, too
myst_heading_anchors = 4


def inline_math(translator: HTML5Translator, node: nodes.math) -> None:
    """`$...$` as MathML."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def block_math(translator: HTML5Translator, node: nodes.math_block) -> None:
    """A ```math block as MathML, in a box that scrolls by itself on a narrow screen."""
    translator.body.append(f'<div class="equation">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Typeset equations while the site is built, instead of by a script in the browser."""
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
