"""Every flag of TensorFlow Serving's model server (main.cc of 2.20), and what becomes of it here.

Effective: it does here what it does there. Refused: the server does not start with it, since it would answer otherwise than
it was asked to, or unprotected. Ignored: it changes no answer here, and a warning says why. The table is shown in
docs/reference/model-servers.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What becomes of a flag."""

    EFFECTIVE = "effective"
    REFUSED = "refused"
    IGNORED = "ignored"


@dataclass(frozen=True)
class Flag:
    """One flag. `text` is its help where it is effective, else the reason."""

    name: str
    kind: type
    text: str
    fate: Fate = Fate.EFFECTIVE


def _refused(name: str, kind: type, why: str) -> Flag:
    return Flag(name, kind, why, Fate.REFUSED)


def _ignored(name: str, kind: type, why: str) -> Flag:
    return Flag(name, kind, why, Fate.IGNORED)


_NO_TFLITE = "there is no TensorFlow Lite here"
_XLA = "this TensorFlow compiles a graph that asks for it (jit_compile=True) without being told"

OFFICIAL = (
    Flag("port", int, "TCP port of the gRPC API; 0 takes a free one, or with --grpc_socket_path none"),
    Flag("grpc_socket_path", str, "Unix socket of the gRPC API, beside the port"),
    Flag("rest_api_port", int, "TCP port of the REST API; 0: none"),
    Flag("rest_api_num_threads", int, "REST requests that are answered at once"),
    Flag("rest_api_timeout_in_ms", int, "milliseconds that a REST request may wait to be run"),
    Flag("rest_api_enable_cors_support", bool, "let web pages of any origin call the REST API"),
    Flag("enable_batching", bool, "put requests of several clients together in one run"),
    Flag("allow_version_labels_for_unavailable_models", bool, "let a new label name a version that is not loaded yet"),
    Flag("batching_parameters_file", str, "text-format BatchingParameters; needs --enable_batching"),
    _refused(
        "enable_per_model_batching_parameters", bool, "batching is the same for all models here: --batching_parameters_file"
    ),
    Flag("model_config_file", str, "text-format ModelServerConfig, for several models, version policies and labels"),
    Flag("model_config_file_poll_wait_seconds", float, "seconds between looks at --model_config_file; 0: never again"),
    Flag("model_name", str, "name of the model under --model_base_path"),
    Flag("model_base_path", str, "folder of the versions of one model"),
    _ignored("num_load_threads", int, "one load at a time, on a thread that no request waits for"),
    _ignored("num_unload_threads", int, "unloads run on the thread of the loads, which no request waits for"),
    Flag("max_num_load_retries", int, "how often a failed load is tried again"),
    Flag("load_retry_interval_micros", int, "microseconds between those attempts"),
    Flag("file_system_poll_wait_seconds", float, "seconds between looks for new versions; 0: only at the start"),
    _ignored("flush_filesystem_caches", bool, "the kernel gives the page cache back by itself"),
    Flag("tensorflow_session_parallelism", int, "threads inside and across operators; 0: as the two flags for each"),
    _refused("tensorflow_session_config_file", str, "a ConfigProto is not read here; the flags tensorflow_*_parallelism are"),
    Flag(
        "tensorflow_intra_op_parallelism",
        int,
        "threads inside one operator; 0: 1 on CPU, since one request per core beats all cores per request",
    ),
    Flag("tensorflow_inter_op_parallelism", int, "requests that run at once; 0: one per core"),
    _refused("use_alts_credentials", bool, "there is no ALTS here, and the port would be plain; --ssl_config_file gives TLS"),
    Flag(
        "ssl_config_file", str, "text-format SSLConfig: TLS on the gRPC API, with client_verify for clients with certificates"
    ),
    _refused("platform_config_file", str, "TensorFlow is the only platform here"),
    _refused("per_process_gpu_memory_fraction", float, "GPU memory grows as it is needed here; there is no bound to set"),
    Flag("saved_model_tags", str, "tags of the graph to load, with commas between them"),
    Flag("grpc_channel_arguments", str, "name=value,… for the gRPC server"),
    Flag("grpc_max_threads", int, "requests that are read and held at once"),
    Flag("enable_model_warmup", bool, "run a version's recorded requests before it is available"),
    Flag("num_request_iterations_for_warmup", int, "how often each of them is run; 0: once"),
    Flag("version", bool, "print the versions, and end"),
    Flag("monitoring_config_file", str, "text-format MonitoringConfig: the Prometheus page on the REST port"),
    _ignored("remove_unused_fields_from_bundle_metagraph", bool, "only the signatures are kept of a graph's description"),
    _refused("prefer_tflite_model", bool, _NO_TFLITE),
    _ignored("num_tflite_pools", int, _NO_TFLITE),
    _ignored("num_tflite_interpreters_per_pool", int, _NO_TFLITE),
    Flag("enable_signature_method_name_check", bool, "refuse a call whose kind is not the method_name of its signature"),
    _ignored("xla_cpu_compilation_enabled", bool, _XLA),
    _ignored("xla_gpu_compilation_enabled", bool, _XLA),
    _ignored("enable_profiler", bool, "the profiler's service is not offered"),
    _refused("thread_pool_factory_config_file", str, "there are no thread pools to choose here"),
    _refused("mixed_precision", str, "a graph is run in the precision that it was exported with"),
    _ignored("skip_initialize_tpu", bool, "there is no TPU here"),
    Flag("enable_grpc_healthcheck_service", bool, "offer grpc.health.v1.Health"),
    Flag("enable_serialization_as_tensor_content", bool, "answer in tensor_content instead of the *_val fields"),
)

OWN = (
    Flag("bind_address", str, "address to listen on (this server's own flag: TensorFlow Serving listens on 0.0.0.0)"),
    Flag("max_queued_requests", int, "requests that may wait to be run; more are UNAVAILABLE (this server's own flag)"),
    Flag("log_level", str, "lowest level written to stderr (this server's own flag)"),
)
