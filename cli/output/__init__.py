"""What a person or a script sees: terminal, numbers, summaries, progress, files, exit codes."""
