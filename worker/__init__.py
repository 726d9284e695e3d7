"""Celery workers: prepare archives, classify chunks, sweep what was lost."""
