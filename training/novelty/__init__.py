"""How unlike a picture is what a model was trained on: detectors, pictures to try them on, and how they did."""

METHODS = ("mahalanobis", "mahalanobis_statistics", "nearest_centroid", "energy")
BEST = "best"  # whichever has the fewest false alarms
NONE = "none"
CHOICES = (BEST, *METHODS, NONE)
