"""SGD as the paper and Caffe have it, and a learning rate that follows the number of images a step."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD


def build_sgd(
    model: nn.Module,
    lr: float,
    images: int,
    reference_images: int,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    double_bias_lr: bool = False,
    decay_bn: bool = True,
) -> SGD:
    """SGD over the parameters that require a gradient.

    Args:
        model: frozen parameters are left out.
        lr: for steps of `reference_images`; the rate used is lr x images / reference_images (linear rule).
        images: images in one optimizer step, over all processes and accumulated passes.
        reference_images: see lr.
        momentum: .9 in the paper.
        weight_decay: 1e-4 for classification, 5e-4 for Faster R-CNN.
        double_bias_lr: biases get twice the rate and no decay, as in the Caffe models' files.
        decay_bn: False leaves the BN's weight and bias without decay.
    """
    scaled = lr * images / reference_images
    groups: dict[tuple[float, float], list] = {}
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters(recurse=False)}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        key = (scaled, weight_decay)
        if id(parameter) in norms:
            key = (scaled, weight_decay if decay_bn else 0.0)
        elif double_bias_lr and name.endswith(".bias"):
            key = (2 * scaled, 0.0)
        groups.setdefault(key, []).append(parameter)
    settings = [{"params": p, "lr": rate, "weight_decay": decay} for (rate, decay), p in groups.items()]
    return SGD(settings, lr=scaled, momentum=momentum)
