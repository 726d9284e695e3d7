"""What every other package uses. It imports no sibling, no Celery, no FastAPI, no gRPC and no TensorFlow."""
