"""The documentation. A package, so that `python -m docs.generate` finds this folder and no other one of that name."""
