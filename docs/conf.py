"""Sphinx: the pages of docs/ as a site in build/docs. `make docs` builds it, with warnings as errors."""

from importlib.metadata import version as installed

project = "DermQ"
author = "The DermQ authors"
copyright = "The DermQ authors"
release = installed("dermq")

extensions = ["myst_parser"]
exclude_patterns = ["generate"]
myst_heading_anchors = 3  # headings can be linked to, as on GitHub

smartquotes = False  # an option's two hyphens stay two hyphens
html_theme = "furo"
html_title = f"DermQ {release}"
html_static_path = ["_static"]
html_css_files = ["dermq.css"]
html_copy_source = False
html_show_sphinx = False
