"""Archives with random access to members; see base.py."""
