"""How good answers are where the truth is known: the same figures for a training run and for a job."""
