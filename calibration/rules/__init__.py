"""What the device obeys, fitted: confidence, unknown threshold, twins, certified cut points, verify sets."""
