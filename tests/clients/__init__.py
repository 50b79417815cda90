"""Clients that nobody here wrote, run unmodified against the daemon: `python -m tests.clients`."""
