"""Webhooks over HTTP: what is sent and answered (schemas.py), from rows of the ledger (views.py)."""
