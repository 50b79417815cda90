"""Requests to an application over HTTP: signed, and their answers read within bounds."""
