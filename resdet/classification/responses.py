"""Standard deviations of layer responses (Sect. 4.2, Fig. 7), and gradient norms (Sect. 4.1: do signals vanish?).

deviations = layer_responses(classifier, batches)       # {"conv1": 0.9, "conv2.0.a": ...}, in the net's order
norms = gradient_norms(classifier, batch)               # one per layer, of one training step
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from resdet.classification.classifier import Classifier
from resdet.nets.blocks import ConvBN
from resdet.structures import LabelledImages


@torch.no_grad()
def layer_responses(classifier: Classifier, batches: Iterable[LabelledImages]) -> dict[str, float]:
    """Standard deviation of each 3x3 layer's response, over all images, positions and channels; by layer name.

    The response is the output of BN, before the addition and the ReLU (Fig. 7). A vanished forward signal is near zero.

    Args:
        classifier: put in eval mode.
        batches: on the classifier's device.
    """
    sums = {name: torch.zeros(3, dtype=torch.float64) for name, _ in _layers(classifier.net)}

    def note(name: str, response: Tensor) -> None:
        values = response.double()
        sums[name] += torch.stack([values.new_tensor(values.numel()), values.sum(), values.square().sum()]).cpu()

    hooks = [
        layer.register_forward_hook(lambda _, __, out, name=name: note(name, out))
        for name, layer in _layers(classifier.net)
    ]
    classifier.eval()
    try:
        for batch in batches:
            classifier.net(classifier.net.preprocess(batch.images))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: float((s[2] / s[0] - (s[1] / s[0]) ** 2).clamp(min=0).sqrt()) for name, s in sums.items()}


def gradient_norms(classifier: Classifier, batch: LabelledImages) -> dict[str, float]:
    """L2 norm of the loss's gradient with respect to each 3x3 layer's weights; by layer name.

    The classifier is put in training mode; its BN statistics are restored afterwards.
    """
    state = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    layers = list(_layers(classifier.net))
    loss = classifier.train()(batch)["loss_class"]
    gradients = torch.autograd.grad(loss, [layer.conv.weight for _, layer in layers])
    classifier.load_state_dict(state)  # training mode updated BN's running averages
    return {name: float(g.norm()) for (name, _), g in zip(layers, gradients, strict=True)}


def _layers(net: nn.Module) -> Iterator[tuple[str, ConvBN]]:
    for name, layer in net.named_modules():
        if isinstance(layer, ConvBN) and layer.conv.kernel_size == (3, 3):
            yield name, layer
