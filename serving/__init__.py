"""TensorFlow Serving: the light client, its protocol, and the embedded server for one machine."""
