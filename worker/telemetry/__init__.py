"""What a worker tells of itself: metrics in shared memory, where a chunk's time goes, signs of life."""
