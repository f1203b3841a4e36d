"""SGD with the paper's settings, and a learning rate scaled by the number of images per step."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD

from resdet.ranges import Count, NonNegative, Share


def build_sgd(
    model: nn.Module,
    lr: NonNegative,
    images: int,
    reference_images: Count,
    momentum: Share = 0.9,
    weight_decay: NonNegative = 1e-4,
    double_bias_lr: bool = False,
    decay_bn: bool = True,
) -> SGD:
    """SGD over the parameters that require a gradient; a config's section `optimizer`.

    Args:
        model: whose parameters are optimized; frozen ones are not.
        lr: base learning rate for `reference_images` images per step. The rate used is
            lr * images / reference_images (the linear scaling rule of Goyal et al. 2017).
        images: images per optimizer step, over all processes and accumulated passes.
        reference_images: images per step that `lr` is meant for.
        momentum: 0.9 in the paper (Sect. 3.4).
        weight_decay: 1e-4 for classification (Sect. 3.4), 5e-4 in py-faster-rcnn.
        double_bias_lr: biases have twice the rate and no decay, as in the prototxt files of the Caffe models.
        decay_bn: False: no weight decay on weight and bias of BN.
    """
    scaled = lr * images / reference_images
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
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
