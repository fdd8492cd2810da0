"""Bring any ONNX model to the one form that the recogniser reads: opsets, types, constants."""
