"""Write every page into this directory."""

from pathlib import Path

from man.pages import PAGES

for name, make in PAGES.items():
    (Path(__file__).parent / name).write_text(make())
