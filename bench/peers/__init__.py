"""Servers to compare with: each speaks the measured part of the protocols on another WebSocket library."""
