"""The documentation as a site (Sphinx): `make docs`, then open site/index.html.

The site needs no network and no server: it uses the reader's fonts, equations become SVG while the site is built, and
the search index is a script, which also loads from a file.
"""

from __future__ import annotations

from html import escape

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator
from ziamath import Latex

project = "iaca"
author = "The iaca authors"
extensions = ["myst_parser"]
highlight_language = "bash"  # of blocks without a language

html_theme = "furo"
html_title = "iaca"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_math_renderer = "svg"

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]  # ```math, which GitHub typesets, too
myst_heading_anchors = 4


def equation(node: nodes.math | nodes.math_block, inline: bool) -> str:
    """An equation as SVG in the colour of the text. A LaTeX command that the converter does not know is a warning."""
    latex = node.astext().strip()
    if "\\" in convert(latex):
        logging.getLogger(__name__).warning("unknown LaTeX command in %s", latex, location=node)
    drawn = Latex(latex, size=16 if inline else 18, color="currentColor", inline=inline)
    style = f"vertical-align: {drawn.getyofst():.2f}px" if inline else ""
    return f'<span role="img" aria-label="{escape(latex)}" style="{style}">{drawn.svg()}</span>'


def inline_math(translator: HTML5Translator, node: nodes.math) -> None:
    """`$...$`."""
    translator.body.append(equation(node, inline=True))
    raise nodes.SkipNode


def block_math(translator: HTML5Translator, node: nodes.math_block) -> None:
    """A ```math block, in a box that scrolls by itself on a narrow screen."""
    translator.body.append(f'<div class="equation">{equation(node, inline=False)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer of equations."""
    app.add_html_math_renderer("svg", (inline_math, None), (block_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
