"""Who judges what a client claims to be."""
