"""What DermQ is compared with, and DermQ itself, each as a contestant: made ready once, then run round by round."""
