"""Obtain a pretrained backbone and write it as ONNX plus preprocess sidecar, without PyTorch."""
