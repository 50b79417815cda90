"""The libraries of Discord's bots, unmodified, through everything that may happen to a connection: see `run.py`."""
