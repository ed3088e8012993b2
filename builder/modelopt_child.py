"""Run by another Python, which has nvidia-modelopt and nothing of this project: `modelopt_child.py ORDER.json`.

The order names a float graph, an .npz with what its input is fed, how ranges are found, patterns of nodes that stay in
float, and where the quantised graph goes. The parent looks at the exit code, the file and the last line of an error.
"""

import json
import sys

import numpy as np

if __name__ == "__main__":
    from modelopt.onnx.quantization import quantize  # type: ignore[import-not-found]  # not installed here

    with open(sys.argv[1], encoding="utf-8") as file:
        order = json.load(file)
    with np.load(order["inputs"]) as inputs:
        quantize(
            order["model"],
            quantize_mode="int8",
            calibration_data=dict(inputs),
            calibration_method=order["method"],
            calibration_eps=["cpu"],
            nodes_to_exclude=order["in_float"],
            high_precision_dtype="fp32",
            output_path=order["out"],
            log_level="ERROR",
        )
