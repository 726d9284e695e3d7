"""Versions of models on this machine: repository, verification, and the result of a rollout."""
