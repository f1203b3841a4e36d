"""Ten crops and dense testing against slow, literal versions."""

from __future__ import annotations

import pytest
import torch

from helpers.classifiers import classifier, noise
from resdet.classification.inference import dense, ten_crop, ten_crops
from resdet.errors import UserError
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG


def test_ten_crops_are_the_corners_the_centre_and_their_mirror_images() -> None:
    images = noise(2, 3, 40, 51)
    crops = ten_crops(images, 32)
    assert crops.shape == (10, 2, 3, 32, 32)
    for i, (top, left) in enumerate([(0, 0), (0, 19), (8, 0), (8, 19), (4, 9)]):
        literal = images[:, :, top : top + 32, left : left + 32]
        assert torch.equal(crops[i], literal)
        assert torch.equal(crops[i + 5], literal.flip(3))
    with pytest.raises(ValueError, match="have no crops"):
        ten_crops(images, 41)


def test_ten_crop_is_the_mean_of_ten_softmaxes() -> None:
    model, images = classifier(), noise(1, 3, 70, 64)
    slow = torch.zeros(5)
    for crop in ten_crops(images, 64)[:, 0]:
        with torch.no_grad():
            slow += model.net(model.net.preprocess(crop[None]))[0].softmax(0) / 10
    torch.testing.assert_close(ten_crop(model, images, 64)[0], slow)


@pytest.mark.parametrize("depth", [18, 50])
def test_dense_is_the_mean_of_the_softmaxes_at_all_positions(depth: int) -> None:
    model, images = classifier(depth), noise(1, 3, 130, 170)
    net, slow, count = model.net, torch.zeros(5), 0
    assert isinstance(net, ResNet)
    with torch.no_grad():
        for pixels in (images, images.flip(3)):
            maps = net.conv5(net.trunk(net.preprocess(pixels)))
            for y in range(maps.shape[2] - 1):
                for x in range(maps.shape[3] - 1):
                    vector = maps[0, :, y : y + 2, x : x + 2].mean((1, 2))  # 64 px crops have maps of 2x2
                    slow, count = slow + net.fc(vector).softmax(0), count + 1  # type: ignore[misc]
    assert count == 2 * 4 * 5
    torch.testing.assert_close(dense(model, images, window=2)[0], slow / count)


def test_dense_testing_at_the_training_crop_size_is_the_net_itself() -> None:
    model, images = classifier(), noise(2, 3, 64, 64)
    expected = (model.predict(images) + model.predict(images.flip(3))) / 2
    torch.testing.assert_close(dense(model, images, window=2), expected)


def test_vgg_with_fc_layers_as_convolutions_gives_the_same_output() -> None:
    torch.manual_seed(0)
    net = VGG(16, num_classes=3).eval()
    x = net.preprocess(noise(1, 3, 224, 224))
    with torch.no_grad():
        torch.testing.assert_close(net.dense(x)[:, :, 0, 0], net(x), atol=1e-5, rtol=1e-4)
        wider = net.dense(net.preprocess(noise(1, 3, 224, 256)))
    assert wider.shape == (1, 3, 1, 2)
    for call in (lambda: net(noise(1, 3, 64, 64).float()), lambda: net.dense(noise(1, 3, 64, 64).float(), 2)):
        with pytest.raises(UserError, match="VGG reads crops of 224 pixels"):
            call()
