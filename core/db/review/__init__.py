"""Review by several readers: second reads, settled disagreements, and who is reading now."""
