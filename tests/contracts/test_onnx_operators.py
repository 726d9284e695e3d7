"""Each ONNX operator that is translated, against onnxruntime, in the forms in which exporters write it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from core.errors import InvalidRequestError
from tests.support.servers import ROOT
from training.wrapping.foreign import open_foreign
from training.wrapping.onnxoperators import OPERATORS

RNG = np.random.default_rng(12)
IMAGE = (2, 6, 9, 11)  # N, C, H, W: all different, so that a wrong axis is seen


def floats(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """One operator on an image that has been through a convolution, or on a table."""

    kind: str
    constants: tuple[Any, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = IMAGE
    opset: int = 17
    twice: bool = False  # the image is the first and the second input

    def model(self) -> Any:
        """Identity convolution (so that the value is held with its colours last), the operator, an Identity."""
        names = [f"k{number}" for number in range(len(self.constants))]
        weights = [numpy_helper.from_array(np.asarray(each), name) for each, name in zip(self.constants, names, strict=True)]
        nodes, source = [], "x"
        if len(self.shape) == 4:
            kernel = np.eye(self.shape[1], dtype=np.float32)[:, :, None, None]
            weights.append(numpy_helper.from_array(kernel, "eye"))
            nodes.append(helper.make_node("Conv", ["x", "eye"], ["turned"]))
            source = "turned"
        given = [source, *([source] if self.twice else []), *names]
        outputs = ["y", "z"] if self.kind == "Split" else ["y"]
        nodes.append(helper.make_node(self.kind, given, outputs, **self.attributes))
        shape = ["n", *self.shape[1:]]
        graph = helper.make_graph(
            nodes,
            "one",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_empty_tensor_value_info("y")],
            weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


I64 = np.int64
CASES = {
    "conv stride": Case("Conv", (floats(4, 6, 3, 3), floats(4)), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "conv uneven": Case("Conv", (floats(4, 6, 3, 2),), {"strides": [2, 1], "pads": [0, 1, 2, 0]}),
    "conv dilated": Case("Conv", (floats(4, 6, 3, 3),), {"dilations": [2, 2], "pads": [2, 2, 2, 2]}),
    "conv same": Case("Conv", (floats(4, 6, 3, 3),), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "conv same lower": Case("Conv", (floats(4, 6, 2, 4),), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "conv valid": Case("Conv", (floats(4, 6, 3, 3),), {"auto_pad": "VALID"}),
    "conv depthwise": Case("Conv", (floats(12, 1, 3, 3), floats(12)), {"group": 6, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "conv depthwise uneven": Case("Conv", (floats(6, 1, 3, 3),), {"group": 6, "strides": [1, 2]}),
    "conv grouped": Case("Conv", (floats(8, 3, 3, 3),), {"group": 2, "strides": [2, 2]}),
    "max pool": Case("MaxPool", (), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "max pool ceil": Case("MaxPool", (), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "average pool": Case("AveragePool", (), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "average pool all": Case(
        "AveragePool", (), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    ),
    "average pool ceil": Case("AveragePool", (), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "global average": Case("GlobalAveragePool"),
    "global max": Case("GlobalMaxPool"),
    "batch norm": Case("BatchNormalization", (floats(6), floats(6), floats(6), np.abs(floats(6)))),
    "batch norm of a table": Case("BatchNormalization", (floats(5), floats(5), floats(5), np.abs(floats(5))), shape=(2, 5)),
    "layer norm": Case("LayerNormalization", (floats(11), floats(11))),
    "local norm": Case("LRN", (), {"size": 3, "alpha": 0.1}),
    "relu": Case("Relu"),
    "clip": Case("Clip", (np.float32(-0.5), np.float32(0.7))),
    "clip old": Case("Clip", (), {"min": -0.5, "max": 0.7}, opset=10),
    "leaky": Case("LeakyRelu", (), {"alpha": 0.2}),
    "elu": Case("Elu", (), {"alpha": 0.7}),
    "selu": Case("Selu"),
    "prelu": Case("PRelu", (floats(6, 1, 1),)),
    "sigmoid": Case("Sigmoid"),
    "hard sigmoid": Case("HardSigmoid", (), {"alpha": 0.3}),
    "hard swish": Case("HardSwish"),
    "gelu": Case("Gelu", (), {"approximate": "tanh"}, opset=20),
    "mish": Case("Mish", opset=18),
    "tanh": Case("Tanh"),
    "softplus": Case("Softplus"),
    "softsign": Case("Softsign"),
    "erf": Case("Erf"),
    "exp": Case("Exp"),
    "abs": Case("Abs"),
    "neg": Case("Neg"),
    "identity": Case("Identity"),
    "dropout": Case("Dropout"),
    "add": Case("Add", twice=True),
    "add a colour": Case("Add", (floats(6, 1, 1),)),
    "add a row": Case("Add", (floats(11),)),
    "sub": Case("Sub", (floats(1, 6, 1, 1),)),
    "mul": Case("Mul", (np.float32(3.0),)),
    "div": Case("Div", (np.float32(3.0),)),
    "pow": Case("Pow", (np.float32(2.0),)),
    "max": Case("Max", (floats(6, 1, 1), floats(11))),
    "min": Case("Min", (floats(6, 1, 1),)),
    "sum": Case("Sum", (floats(6, 1, 1),), twice=True),
    "concat colours": Case("Concat", attributes={"axis": 1}, twice=True),
    "concat columns": Case("Concat", attributes={"axis": -1}, twice=True),
    "flatten": Case("Flatten"),
    "reshape": Case("Reshape", (np.array([0, -1], I64),)),
    "reshape to four": Case("Reshape", (np.array([0, 3, 2, -1], I64),)),
    "transpose": Case("Transpose", (), {"perm": [0, 2, 3, 1]}),
    "mean": Case("ReduceMean", (), {"axes": [2, 3], "keepdims": 0}),
    "mean kept": Case("ReduceMean", (), {"axes": [-1, -2], "keepdims": 1}),
    "mean of an input": Case("ReduceMean", (np.array([1], I64),), {"keepdims": 0}, opset=18),
    "sum of all": Case("ReduceSum", (np.array([1, 2], I64),), {"keepdims": 1}),
    "max of an axis": Case("ReduceMax", (), {"axes": [3], "keepdims": 0}),
    "softmax": Case("Softmax", (), {"axis": 1}, shape=(2, 5)),
    "softmax of colours": Case("Softmax", (), {"axis": 1}),
    "log softmax": Case("LogSoftmax", (), {"axis": -1}, shape=(2, 5)),
    "softmax old": Case("Softmax", (), {}, shape=(2, 5), opset=11),
    "gemm": Case("Gemm", (floats(3, 5), floats(3)), {"transB": 1, "alpha": 0.5, "beta": 2.0}, shape=(2, 5)),
    "matmul": Case("MatMul", (floats(5, 3),), shape=(2, 5)),
    "unsqueeze": Case("Unsqueeze", (np.array([2, 3], I64),), shape=(2, 5)),
    "squeeze": Case("Squeeze", (np.array([2, 3], I64),), shape=(2, 5, 1, 1)),
    "slice": Case("Slice", (np.array([1, 0], I64), np.array([4, 2**62], I64), np.array([1, 3], I64), np.array([2, 3], I64))),
    "gather": Case("Gather", (np.array([2, 0], I64),), {"axis": 1}),
    "split": Case("Split", (np.array([2, 4], I64),), {"axis": 1}),
    "pad": Case("Pad", (np.array([0, 0, 1, 2, 0, 0, 3, 0], I64), np.float32(0.5))),
    "cast": Case("Cast", (), {"to": TensorProto.INT32}),
    "shape": Case("Shape"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / "one.onnx"
    onnx.save(case.model(), str(path))
    fed = floats(*case.shape)
    (expected,) = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(["y"], {"x": fed})
    foreign = open_foreign(path)
    traced = tf.function(foreign.call, input_signature=[tf.TensorSpec([None, *case.shape[1:]], tf.float32)], autograph=False)
    found = traced(tf.constant(fed)).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=2e-5)


def test_every_operator_is_tried() -> None:
    tried = {case.kind for case in CASES.values()}
    untried = set(OPERATORS) - tried
    assert untried == {"Constant", "Log", "Reciprocal", "Sqrt"}, "as inputs of others, or of positive numbers only"


def test_the_reference_lists_what_is_translated() -> None:
    page = (ROOT / "docs" / "reference" / "foreign-models.md").read_text().partition("## ONNX operators")[2]
    listed = page.partition("Not translated:")[0].partition("\n\n`")[2]
    assert ("`" + listed).replace("`", "").strip().rstrip(".").replace("\n", " ").split(", ") == list(OPERATORS)


def test_a_view_that_pytorch_writes_with_shape_and_gather(tmp_path: Path) -> None:
    """`x.view(x.size(0), -1)`: Shape, Gather, Unsqueeze, Concat, Reshape; and Sqrt, Reciprocal and Log of positive numbers."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Constant", [], ["zero"], value_int=0),
        helper.make_node("Gather", ["shape", "zero"], ["n"], axis=0),
        helper.make_node("Constant", [], ["axes"], value_ints=[0]),
        helper.make_node("Unsqueeze", ["n", "axes"], ["row"]),
        helper.make_node("Constant", [], ["rest"], value=numpy_helper.from_array(np.array([-1], I64))),
        helper.make_node("Concat", ["row", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["flat"]),
        helper.make_node("Exp", ["flat"], ["positive"]),
        helper.make_node("Sqrt", ["positive"], ["root"]),
        helper.make_node("Reciprocal", ["root"], ["less"]),
        helper.make_node("Log", ["less"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "view",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 60])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(tmp_path / "v.onnx"))
    fed = floats(2, 3, 4, 5)
    found = open_foreign(tmp_path / "v.onnx").call(tf.constant(fed)).numpy()
    np.testing.assert_allclose(found, -0.5 * fed.reshape(2, 60), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "attributes", "words"),
    [
        ("Resize", {"mode": "nearest"}, r"does not translate the ONNX operators \['Resize'\]"),
        ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 2]}, "ONNX MaxPool .*: not translated: dilations of a pooling"),
        ("Flatten", {"axis": 2}, "ONNX Flatten .*: not translated: an axis other than 1"),
    ],
)
def test_what_is_not_translated_is_refused_by_name(tmp_path: Path, kind: str, attributes: dict[str, Any], words: str) -> None:
    graph = helper.make_graph(
        [helper.make_node(kind, ["x"], ["y"], **attributes)],
        "odd",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c", "d"])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(tmp_path / "odd.onnx"))
    with pytest.raises(InvalidRequestError, match=words):
        open_foreign(tmp_path / "odd.onnx").call(tf.zeros([1, 3, 8, 8]))
