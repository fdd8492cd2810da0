"""A fused model that computes something else is not written."""

import numpy as np
import pytest
from hand_made import Net
from onnx import numpy_helper

from snnquant.data import Batch
from snnquant.errors import SelfCheckError
from snnquant.fusion import fuse_model
from snnquant.self_check import check_fused


def network():
    net = Net((2, 5, 4), static=True)
    current, after = net.conv(net.x, (2, 5, 4), 3, (2, 2))
    current, _ = net.conv(net.neuron(current), after, 2, (2, 2))
    model = net.quantized(net.neuron(current), 5).model
    return model, fuse_model(model), Batch(net.feeds(batch=4), None, 0)


def test_equal_models_pass():
    model, fusion, samples = network()
    assert len(fusion.twins) >= 2
    assert check_fused(model, fusion, samples) > 100


@pytest.mark.parametrize(("kind", "flipped"), [("bias", 1024), ("weight", 32)])
def test_another_integer_is_found(kind, flipped):
    model, fusion, samples = network()
    for tensor in fusion.model.graph.initializer:
        if tensor.name.endswith(f".{kind}"):
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(
                numpy_helper.from_array(array ^ np.array(flipped, array.dtype), tensor.name)
            )
    with pytest.raises(SelfCheckError, match=r"of the fused model.* nothing was written"):
        check_fused(model, fusion, samples)
