"""A folder whose files are submitted as they come."""
