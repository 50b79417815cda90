"""gatewayctl: the admin API for people and shell scripts.  No Trio here; nothing heavy is imported before its use."""
