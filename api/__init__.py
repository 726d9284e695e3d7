"""HTTP: submit, poll, fetch. FastAPI lives here and nowhere else."""
