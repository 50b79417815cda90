"""Write the generated parts of every page anew."""

from docs.blocks import PAGES, filled

for path in PAGES:
    path.write_text(filled(path))
