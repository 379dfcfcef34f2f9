"""Sphinx's configuration of the site."""

import hashlib
import logging
import sys
from importlib import util
from pathlib import Path

import d2lrnn

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "sphinx_extension"), str(HERE.parent / "generator")]

project = "d2lrnn"
author = "The d2lrnn developers"
copyright = f"2026, {author}"
release = version = d2lrnn.__version__

extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "framework_tabs",
]
exclude_patterns = ["measured/*.md"]  # included in a page

# The lessons come with their outputs; nothing is executed here
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist", "attrs_inline"]
myst_heading_anchors = 3

# MathJax 4 fetches fonts while a page is read, and so do most builds of MathJax 3. This one file of it does not.
MATHJAX = Path(util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax" / "tex-svg-full.js"
MATHJAX_SHA256 = "a4354ff94fd868aea0cc6eaaa79a57fda0588646fc46ee3700a349ee0a11cbe6"  # of MathJax 3.2.2
if hashlib.sha256(MATHJAX.read_bytes()).hexdigest() != MATHJAX_SHA256:
    raise RuntimeError(f"{MATHJAX.name} is not the one of MathJax 3.2.2: install the version in constraints.txt")
mathjax_path = MATHJAX.name

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_type_aliases = {"npt.ArrayLike": "ArrayLike"}  # by its name, and not by all that it stands for
napoleon_use_ivar = True  # an attribute that is a property as well is one entry, not two

logging.disable(logging.INFO)  # MXNet reports on itself when autodoc imports it

html_theme = "furo"
html_favicon = "static/favicon.svg"
html_title = "d2lrnn"
html_static_path = ["static", str(MATHJAX)]
html_css_files = ["site.css"]
html_js_files = [("framework.js", {"priority": 100})]  # before that of sphinx-design
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": False}
