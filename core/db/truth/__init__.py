"""What is known to be true of a job's images."""
