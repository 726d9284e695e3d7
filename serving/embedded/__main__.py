"""`python -m serving.embedded`: flags as TensorFlow Serving's tensorflow_model_server."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from core.telemetry.logs import configure_logs, get_logger
from serving.embedded.configfiles import check_files
from serving.embedded.options import parse_options
from serving.embedded.status import StatusError


def main() -> None:
    """Parse the command line, serve, exit."""
    options, ignored = parse_options(sys.argv[1:])
    configure_logs(options.log_level)
    try:
        check_files(options)
    except (StatusError, OSError) as error:
        get_logger("serving.embedded").error(f"Failed to start server. Error: {error}")
        sys.exit(1)
    for name, why in ignored.items():
        get_logger("serving.embedded").warning("a flag is ignored here", flag=f"--{name}", reason=why)
    # TensorFlow loads here, after --help and mistakes; first from where it is kept quiet. It would import Keras, and with it
    # scikit-learn, half of the time to start, unless it looks for the old Keras, which is not installed; a graph needs neither.
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import_module("serving.embedded.tensorflow_runtime")
    server = import_module("serving.embedded.server")

    server.exit_now(server.serve(options))


if __name__ == "__main__":
    main()
