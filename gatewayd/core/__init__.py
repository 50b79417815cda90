"""The pure floor: what is said, in which order, and why it ends; no sockets, no clock, no files."""
