"""What comes in: uploads, forms, named sources and their parameters, up to a committed job."""
