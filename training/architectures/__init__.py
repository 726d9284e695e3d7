"""One file per family; `registry.py` knows them by name. TensorFlow is imported when one is built, not before."""
