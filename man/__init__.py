"""The manual pages, written from the parsers and the configuration: `python -m man` after a change of either."""
