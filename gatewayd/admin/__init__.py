"""The admin API: HTTP and JSON over a Unix socket, and over TCP to whoever holds a token."""
