"""Object storage: a local folder or S3; see base.py."""
