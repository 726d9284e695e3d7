"""Uploads that come in parts, and may go on after an interruption."""
