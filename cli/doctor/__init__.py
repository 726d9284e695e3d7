"""What `dermq doctor` looks at."""
