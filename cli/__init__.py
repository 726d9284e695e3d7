"""The command line: `dermq …`."""
