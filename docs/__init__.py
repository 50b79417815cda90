"""The parts of the pages that come from the code: `python -m docs` writes them after a change of a protocol."""
