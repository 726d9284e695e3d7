"""One file per data set, all giving the same `Dataset`."""
