"""Figures: speed and memory as ratios measured in one run on one machine. Never part of the test suite."""
