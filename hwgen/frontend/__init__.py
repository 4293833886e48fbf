"""From a QONNX file to the QuantGraph; the only importers of onnx, qonnx and finn."""
