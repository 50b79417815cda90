"""gatewayd: one daemon that speaks many gateway protocols over WebSocket."""

__version__ = "0.1.0"
