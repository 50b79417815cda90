"""The process: builds a node from its configuration, runs it, and takes it down."""
