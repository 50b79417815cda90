"""Benchmarks of the daemon against other servers that do the same work; `python -m bench` runs them."""
