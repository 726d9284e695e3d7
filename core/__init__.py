"""The ground every room stands on. It imports no sibling, no Celery, no FastAPI, no gRPC and no TensorFlow."""
