"""The protocols, of which `registry` has the names."""
