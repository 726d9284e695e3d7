"""What goes out: pages of results, their cursors, and exports."""
