"""Tests of gatewayd.config."""
