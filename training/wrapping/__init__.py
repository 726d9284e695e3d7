"""A model of another team made into a version of DermQ: read, asked for what it does not say, proved, written."""
