"""Object storage: a local folder or S3; see base.py. `factory.open_storage` opens one by its URL."""
