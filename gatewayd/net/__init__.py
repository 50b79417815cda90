"""The shell: sockets, TLS, request heads and one nursery per client."""
