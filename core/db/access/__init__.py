"""Tenants, API keys, page sessions and the audit, in the ledger."""
