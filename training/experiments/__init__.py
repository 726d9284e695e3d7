"""One small file per experiment: command, time, expected figure."""
