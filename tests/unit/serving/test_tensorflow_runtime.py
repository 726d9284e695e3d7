"""What the model server imports with TensorFlow, and what it leaves for later."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support.servers import ROOT

CODE = """
import json, sys
from serving.embedded.tensorflow_runtime import tf
before = sorted({"keras", "sklearn", "matplotlib"} & {name.split(".")[0] for name in sys.modules})
import keras
print(json.dumps([before, keras.layers.Dense(2)(tf.zeros((1, 3))).shape[1], tf.keras.layers.Dense is keras.layers.Dense]))
"""


def test_keras_is_imported_only_when_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == [[], 2, True]
