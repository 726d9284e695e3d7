"""TensorFlow Serving's gRPC API for one machine and for tests, in Python. Production is the TensorFlow Serving container.

    flags        TensorFlow Serving's flags: effective, refused or ignored, and why
    options      the command line
    credentials  TLS
    configfiles  the files that flags name, checked before TensorFlow is imported
    modelconfig  model_config_file → ModelEntry: which models, which versions of them, which labels
    source       polls folders (and the config file) and says which versions are aspired to
    manager      loads before it unloads, counts who uses what, keeps the states
    servable     one loaded SavedModel
    warmup       a version's recorded requests, run before it is AVAILABLE
    servercore   name, version or label → a servable in use, with TensorFlow Serving's codes
    predict      a PredictRequest → tensors in, tensors out, with TensorFlow Serving's codes
    inference    Classify, Regress and MultiInference: tensorflow.Examples in, classes and values out
    caller       who waits for an answer, and for how long
    slots        how many requests run at once, and how many may wait
    batching     instead of slots: rows of several requests in one run
    lookups      metadata and status
    servicers    the two gRPC services, thin
    health       grpc.health.v1
    rest         the same over HTTP (jsontensor, jsonexamples), and the Prometheus page (metrics)
    restserver   carries HTTP requests to it (httpbody)
    server       puts them together; `python -m serving.embedded`

Only here and in training is TensorFlow imported. Not offered: SessionRun.

docs/reference/model-servers.md lists what differs from TensorFlow Serving on purpose. Two examples: a model that cannot be
loaded at the start does not keep the others from being served (its state says why), and a version whose variables are missing
fails to load instead of failing every request.
"""
