"""The front door: `dermq …`."""
