"""Convolutions of many victims as one batched matrix product each: the pixels that a kernel reads are laid side by side, channels last.

Under `torch.func.vmap` PyTorch makes them grouped convolutions, the slowest path there is on a GPU that must add in a fixed order.
Here the product of a layer is [victims, pictures x places, kernel x channels below] @ [victims, kernel x channels below, channels above],
one batched call, in bfloat16 where autocast says so; where victims read the same pictures the first layer's is one plain product. Backward
is products, slices and additions: a fixed order with no flag. Unproved on a GPU: that it is faster there. On a CPU it is not used.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def unfolded(device: torch.device) -> AbstractContextManager[Any]:
    """Within it convolutions of many victims are matrix products, unless the device is a CPU."""
    return nullcontext() if device.type == "cpu" else Unfolded()


class Unfolded(TorchFunctionMode):
    """Takes the place of `torch.conv2d` where it is asked for what `conv2d` here can do."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.conv2d and _plain(*args, **kwargs):
            return conv2d(*args, **kwargs)
        return func(*args, **kwargs)


def _plain(x: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> bool:
    return groups == 1 and not isinstance(padding, str) and x.dim() == 4


def conv2d(
    x_BCHW: Tensor,
    weight_OCIJ: Tensor,
    bias_O: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """As `torch.conv2d` of one group; what it returns lies channels last."""
    (down, right), (high, wide), (apart, aside) = _pair(stride), _pair(padding), _pair(dilation)
    rows, columns = weight_OCIJ.shape[2:]
    x_BHWC = F.pad(x_BCHW.permute(0, 2, 3, 1), (0, 0, wide, wide, high, high))
    height, width = (x_BHWC.shape[1] - apart * (rows - 1) - 1) // down + 1, (x_BHWC.shape[2] - aside * (columns - 1) - 1) // right + 1
    seen = [
        x_BHWC[:, i * apart : i * apart + down * (height - 1) + 1 : down, j * aside : j * aside + right * (width - 1) + 1 : right]
        for i in range(rows)
        for j in range(columns)
    ]
    read_RK = (torch.cat(seen, 3) if len(seen) > 1 else seen[0]).flatten(0, 2)  # R: pictures x places, K: kernel x channels below
    made_RO = read_RK @ weight_OCIJ.permute(2, 3, 1, 0).flatten(0, 2)
    if bias_O is not None:
        made_RO = made_RO + bias_O
    return made_RO.unflatten(0, (-1, height, width)).permute(0, 3, 1, 2)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return value[0], value[-1]  # of one number or two
