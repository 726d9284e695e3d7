"""Webhooks in the ledger.

tables.py  webhooks, and the messages to them: the outbox
store.py   what their owners do: make, list, rotate, delete, replay
outbox.py  messages: written with the change that they tell of, taken to be sent, settled
"""
