"""Off the device: check, quantise and size an ONNX backbone. May import edge; never calibration."""
