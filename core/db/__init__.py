"""The ledger: schema, engine, named queries, migrations."""
