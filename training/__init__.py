"""From a data set to a SavedModel version, with evidence of how good it is."""
