"""Many perceptrons, each on rows of its own, as one tensor program in which no model's bits depend on its company.

A certificate says that the other models of an ensemble are what they were when one of them is given another row, so a last bit that a
neighbour moves would break it: chaotic training makes another model of it. Hence a layout of its own. Each model's matrices lie by
themselves, each a whole number of vectors long, so that every operation treats a model the same wherever it stands and whoever stands
beside it: products are batched over models of one shape, biases ride along as the weight of a constant column, and sums over rows are
products too. Padding is zeros throughout, and stays so. Models come in fours and rows in whole vectors (see `COMPANY`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

VECTOR = 16  # numbers: what the widest vectors of today's CPUs hold in float32
COMPANY = 4  # so many models at least, or whole multiples: a lone matrix's product, and what is left over after vectors, go other ways


def whole_vectors(size: int) -> int:
    """The next multiple of VECTOR."""
    return -(-size // VECTOR) * VECTOR


class DenseApart:
    """Parameters and gradient of M models, one row each: float [models, numbers], the layers' kernels one after the other.

    A layer's kernel is [inputs, outputs]: as many inputs as the layer has and the constant one, up to whole vectors; outputs as the next
    layer's inputs, of the last layer as they are.
    """

    def __init__(self, sizes: Sequence[int], params: Sequence[Sequence[Tensor]], device: torch.device, dtype: torch.dtype) -> None:
        """params: of each model as `Mlp` lists them."""
        self.sizes, self.outputs = tuple(sizes), sizes[-1]
        self.inputs = [whole_vectors(size + 1) for size in sizes[:-1]]
        self.shapes = list(zip(self.inputs, [*self.inputs[1:], self.outputs], strict=True))
        ends = torch.tensor([0, *(rows * columns for rows, columns in self.shapes)]).cumsum(0).tolist()
        self.places = list(pairwise(ends))
        self.params_MD = torch.zeros(len(params), whole_vectors(ends[-1]), device=device, dtype=dtype)
        self.grads_MD = torch.zeros_like(self.params_MD)
        for layer, kernel_MIO in enumerate(self.kernels(self.params_MD)):
            fan_in, fan_out = self.sizes[layer : layer + 2]
            for model, of_model in enumerate(params):
                kernel_MIO[model, :fan_in, :fan_out] = of_model[2 * layer].to(device, dtype)
                kernel_MIO[model, fan_in, :fan_out] = of_model[2 * layer + 1].to(device, dtype)

    def kernels(self, of_MD: Tensor) -> list[Tensor]:
        """Views of the layers' kernels, or of their gradients, [models, inputs, outputs]."""
        return [of_MD[:, lo:hi].view(-1, *shape) for (lo, hi), shape in zip(self.places, self.shapes, strict=True)]

    def keep(self, index_M: Tensor) -> None:
        """Go on with these models alone."""
        self.params_MD = self.params_MD[index_M].contiguous()
        self.grads_MD = torch.zeros_like(self.params_MD)

    def params_of(self, model: int) -> list[Tensor]:
        """A model's parameters as `Mlp` lists them."""
        params: list[Tensor] = []
        for layer, kernel_MIO in enumerate(self.kernels(self.params_MD)):
            fan_in, fan_out = self.sizes[layer : layer + 2]
            params += [kernel_MIO[model, :fan_in, :fan_out].clone(), kernel_MIO[model, fan_in, :fan_out].clone()]
        return params

    def widened(self, x_BF: Tensor) -> Tensor:
        """Rows as the first layer takes them: [rows, inputs], the constant behind the features, then zeros."""
        wide = x_BF.new_zeros(len(x_BF), self.inputs[0])
        wide[:, : x_BF.shape[1]], wide[:, x_BF.shape[1]] = x_BF, 1.0
        return wide

    def logits(self, x_MPI: Tensor) -> Tensor:
        """Logits [models, rows, outputs] of each model's own rows, as `widened` makes them."""
        return self._forward(x_MPI)[-1]

    def _forward(self, x_MPI: Tensor) -> list[Tensor]:
        activations = [x_MPI]
        for layer, kernel_MIO in enumerate(self.kernels(self.params_MD)):
            out = torch.bmm(activations[-1], kernel_MIO)
            if layer < len(self.shapes) - 1:
                out.relu_()[..., self.sizes[layer + 1]] = 1.0
            activations.append(out)
        return activations

    def step(self, x_MPI: Tensor, y_MP: Tensor, share_MP: Tensor, decay_M: Tensor | None) -> Tensor:
        """Fill the gradients of each model's mean loss over its rows, penalty included; returns that loss [models], nats.

        y_MP: int64 [models, places]; share_MP: one over the model's rows, 0 of padding; decay_M: factor of the penalty |W|^2 / 2 (kernels
        only); None: no penalty.
        """
        activations = self._forward(x_MPI)
        loss_MP, delta = self._loss(activations[-1], y_MP)
        delta.mul_(share_MP.unsqueeze(-1))
        kernels, grads = self.kernels(self.params_MD), self.kernels(self.grads_MD)
        for layer in range(len(kernels) - 1, -1, -1):
            grads[layer].copy_(torch.bmm(activations[layer].transpose(1, 2), delta))
            if layer:
                delta = torch.bmm(delta, kernels[layer].transpose(1, 2)).mul_(activations[layer] > 0)
                delta[..., self.sizes[layer]] = 0.0
        loss_M = torch.bmm(loss_MP.unsqueeze(1), share_MP.unsqueeze(2))[:, 0, 0]
        if decay_M is not None:
            for layer, (kernel, grad) in enumerate(zip(kernels, grads, strict=True)):
                weights = kernel.clone()
                weights[:, self.sizes[layer]] = 0.0  # the bias
                grad.addcmul_(weights, decay_M.view(-1, 1, 1))
                flat = weights.flatten(1)
                loss_M = loss_M + 0.5 * decay_M * torch.bmm(flat.unsqueeze(1), flat.unsqueeze(2))[:, 0, 0]
        return loss_M

    def _loss(self, logits_MPO: Tensor, y_MP: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each row [models, places] and its gradient with respect to the logits [models, places, outputs]."""
        if self.outputs == 1:
            z_MP, y = logits_MPO[..., 0], y_MP.to(logits_MPO.dtype)
            loss_MP = z_MP.abs().neg_().exp_().log1p_().add_(z_MP.relu()).addcmul_(z_MP, y, value=-1)
            return loss_MP, torch.sigmoid(logits_MPO).sub_(y.unsqueeze(-1))
        logp = torch.log_softmax(logits_MPO, -1)
        y = y_MP.unsqueeze(-1)
        loss_MP = -logp.gather(-1, y)[..., 0]
        return loss_MP, logp.exp_().scatter_add_(-1, y, torch.full_like(loss_MP, -1.0).unsqueeze(-1))
