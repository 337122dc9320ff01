"""The site's settings: ``tox -e docs`` builds it, and AUTHORS.md says how its pages are written."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

project = "Deep RNN Reference Suite"
author = "the suite's authors"
language = "en"

extensions = [
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "docs._ext.mathml",
    "docs._ext.frameworks",
    "docs._ext.equations",
    "docs._ext.links",
    "docs._ext.results",
    "docs._ext.examples",
    "docs._ext.charts",
    "docs._ext.field_guide",
    "docs._ext.atlas",
    "docs._ext.glossary",
    "docs._ext.pages",
]
root_doc = "index"
exclude_patterns = ["_build", "AUTHORS.md", "template-backend", "locale", "results"]
nitpicky = True

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "attrs_block"]
myst_heading_anchors = 4

# Catalogues of translations: one for each page, without line numbers, which change all the time.
locale_dirs = ["locale"]
gettext_compact = False
gettext_location = False
gettext_uuid = False

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_math_renderer = "mathml"
# Summaries of what is found would be fetched, which a browser does not do from a file.
html_show_search_summary = False

# The button of a block of code; a reader that reads the page aloud says its title.
copybutton_image_svg = (
    '<svg viewBox="0 0 24 24" role="img" fill="none" stroke="currentColor" stroke-width="2">'
    "<title>Copy</title>"
    '<rect x="8" y="8" width="12" height="12" rx="2"/>'
    '<path d="M16 8V6a2 2 0 0 0-2-2H6a2 2 0 0 0-2 2v8a2 2 0 0 0 2 2h2"/></svg>'
)
