"""The admin API: HTTP and JSON over a Unix socket, and over TCP with bearer tokens."""
