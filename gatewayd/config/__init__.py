"""The configuration: TOML text becomes frozen values, or one list of every mistake in it.

Kept free of imports, so that gatewayctl can take `find` alone and stay quick to start.
"""
