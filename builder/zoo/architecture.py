"""The EfficientNet-Lite family as data: every convolution of Lite0 to Lite4 with its names, widths and padding.

Follows "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (Tan and Le, 2019), table 1 and
section 3, in the Lite variant: no squeeze-and-excitation, ReLU6 in place of swish, and stem, head, first and last
stage not scaled in width of the ends (32 and 1280 channels) or number of blocks.

Names of weights, and 'SAME' padding computed for the nominal input size, follow the PyTorch port
`efficientnet-lite-pytorch` 0.1.0: the output side is ceil(side / stride), and what padding is needed is split with
the odd pixel after (below, right). At stride 2 that is asymmetric.

Left to others: the values (`checkpoint`) and the graph (`efficientnet_lite`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["HEAD_CHANNELS", "VARIANTS", "Block", "Conv", "Variant", "layout", "same_padding"]

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
#: Widths are multiples of this.
WIDTH_STEP = 8


@dataclass(frozen=True, slots=True)
class Variant:
    """One member of the family: its scaling of width and depth, and the side of its square input."""

    width: float
    depth: float
    side_px: int


VARIANTS = {
    "efficientnet-lite0": Variant(1.0, 1.0, 224),
    "efficientnet-lite1": Variant(1.0, 1.1, 240),
    "efficientnet-lite2": Variant(1.1, 1.2, 260),
    "efficientnet-lite3": Variant(1.2, 1.4, 280),
    "efficientnet-lite4": Variant(1.4, 1.8, 300),
}


@dataclass(frozen=True, slots=True)
class _Stage:
    """Blocks in a row; the first has the stride and the change of width. `channels` is before scaling."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


@dataclass(frozen=True, slots=True)
class Conv:
    """One convolution and its batch norm: node name, checkpoint prefixes of both, and geometry.

    `padding` is (before, after) in pixels, the same for rows and columns. `depthwise` means one group per channel.
    """

    name: str
    weight: str
    norm: str
    channels_in: int
    channels_out: int
    kernel: int = 1
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    depthwise: bool = False
    relu6: bool = True

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Shape of the weight, (out, in per group, kernel, kernel)."""
        return self.channels_out, 1 if self.depthwise else self.channels_in, self.kernel, self.kernel


@dataclass(frozen=True, slots=True)
class Block:
    """Convolutions in a row; `residual` adds the block's input to its output."""

    name: str
    convs: tuple[Conv, ...]
    residual: bool = False


def same_padding(side_px: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding (before, after) that makes the output side ceil(side_px / stride)."""
    out = math.ceil(side_px / stride)
    total = max((out - 1) * stride + kernel - side_px, 0)
    return total // 2, total - total // 2


def layout(variant: Variant) -> Iterator[Block]:
    """Yield stem, blocks and head of `variant` in order; block names are `block<stage>_<number>`, both from 1."""
    padding = same_padding(variant.side_px, 3, 2)
    yield Block("stem", (Conv("stem", "_conv_stem", "_bn0", 3, STEM_CHANNELS, 3, 2, padding),))
    side_px, channels, index = math.ceil(variant.side_px / 2), STEM_CHANNELS, 0
    for number, stage in enumerate(_STAGES, start=1):
        out = _scaled_width(stage.channels, variant.width)
        at_an_end = number in {1, len(_STAGES)}
        for repeat in range(stage.blocks if at_an_end else math.ceil(stage.blocks * variant.depth)):
            stride = stage.stride if repeat == 0 else 1
            padding = same_padding(side_px, stage.kernel, stride)
            name, prefix, wide = f"block{number}_{repeat + 1}", f"_blocks.{index}", channels * stage.expansion
            weight, norm = f"{prefix}._depthwise_conv", f"{prefix}._bn1"
            convs = (
                Conv(f"{name}/expand", f"{prefix}._expand_conv", f"{prefix}._bn0", channels, wide),
                Conv(f"{name}/depthwise", weight, norm, wide, wide, stage.kernel, stride, padding, depthwise=True),
                Conv(f"{name}/project", f"{prefix}._project_conv", f"{prefix}._bn2", wide, out, relu6=False),
            )
            yield Block(name, convs[1:] if stage.expansion == 1 else convs, residual=repeat > 0)
            side_px, channels, index = math.ceil(side_px / stride), out, index + 1
    yield Block("head", (Conv("head", "_conv_head", "_bn1", channels, HEAD_CHANNELS),))


def _scaled_width(channels: int, width: float) -> int:
    """Round to a multiple of WIDTH_STEP, never more than 10 % down."""
    scaled = channels * width
    rounded = max(WIDTH_STEP, int(scaled + WIDTH_STEP / 2) // WIDTH_STEP * WIDTH_STEP)
    return rounded + WIDTH_STEP if rounded < 0.9 * scaled else rounded
