"""Training of binary networks in Brevitas and their export to QONNX."""
