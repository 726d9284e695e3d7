"""The schema of the ledger: migrating it, and waiting until it is there."""
