"""Tests of gatewayctl, against a daemon of canned answers on a real Unix socket."""
