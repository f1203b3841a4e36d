"""The defaults of the paper's configs, against the paper's sentences."""

from __future__ import annotations

import ast
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.paths import CONFIGS, ROOT
from resdet.engine.config import build
from resdet.paper.running import images_for
from resdet.recipes.sections import load_config

NUMBERS = re.findall(r"^\| .+ \| (\w+): (`.+`) \|$", (ROOT / "docs/PAPER.md").read_text(), re.MULTILINE)


def plain(value: object) -> object:
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(("config", "values"), NUMBERS, ids=[f"{config} {values}" for config, values in NUMBERS])
def test_the_papers_numbers_are_where_the_page_says(config: str, values: str) -> None:
    found = re.findall(r"`([\w.]+)=([^`]+)`", values)
    assert len(found) == values.count("=")
    cfg = load_config(config)
    for key, value in found:
        node = cfg
        for part in key.split("."):
            node = node[part]
        assert plain(node) == plain(ast.literal_eval(value)), key


def test_the_page_has_the_numbers_of_each_section() -> None:
    assert len(NUMBERS) == 58
    sections = {re.match(r"[a-z]+", config)[0] for config, _ in NUMBERS}  # type: ignore[index]
    assert sections == {"imagenet", "cifar", "voc", "coco", "det", "loc"}


IMAGENET = build(load_config("imagenet_r101").schedule)
IMAGES_OF_AN_EPOCH = 1_281_167


@given(st.lists(st.floats(0, 100), max_size=120))
def test_any_log_of_imagenet_divides_the_rate_at_the_documented_epochs(errors: list[float]) -> None:
    """Sect. 3.4 has 60 x 10^4 steps and no epochs; Fig. 4 falls at about 30 and 60, ARCHITECTURE.md has 30, 60, 90."""
    rates = {}
    for epoch in range(120):
        for error in errors[epoch : epoch + 1]:
            IMAGENET.observe({"test/top1_error": error, "loss": error})
        rates[epoch] = IMAGENET(epoch * IMAGES_OF_AN_EPOCH // 256)
    assert [epoch for epoch in range(1, 120) if rates[epoch] < rates[epoch - 1]] == [30, 60, 90]
    assert rates[119] == pytest.approx(1e-3)
    assert IMAGENET.steps * 256 / IMAGES_OF_AN_EPOCH == pytest.approx(120, abs=0.2)


def test_long_trainings_measure_a_sample_on_the_way() -> None:
    """COCO's 320,000 steps have figures of 5,000 of the 40,504 images 16 times; ImageNet's of all, each epoch."""
    for name in ("coco_r101", "coco_vgg16", "det_r101"):
        loop = load_config(name).loop
        assert (loop.validate_every, loop.validate_images) == (20_000, 5_000)
    loop = load_config("imagenet_r50").loop
    assert (loop.validate_every, loop.get("validate_images", 0)) == (5_000, 0)
    for name in ("voc07_r101", "voc07_vgg16"):
        assert load_config(name).loop.validate_every == 20_000


def test_imagenet_det_is_done_as_coco() -> None:
    """App. B: "Our object detection algorithm for ImageNet DET is the same as that for MS COCO in Table 9"."""
    for det, coco in (("det_r101", "coco_r101"), ("det_r101_plus", "coco_r101_multiscale")):
        own, other = load_config(det), load_config(coco)
        assert own.model.pop("num_classes") == 200
        assert other.model.pop("num_classes") == 80
        for section in ("model", "optimizer", "schedule", "loop", "testing", "init_from"):
            assert own[section] == other[section], section
        assert own.data.images == other.data.images == 8
        assert own.data.resizer == other.data.resizer


def test_the_r_cnns_crops_have_r_cnns_context_and_its_proposals_are_dense() -> None:
    """App. C: crops "as in" R-CNN, which has 16 pixels of context; 200 proposals, 256 regions, 1:3."""
    section = load_config("loc_r101_rcnn").rcnn
    assert section.settings.context == 16
    assert section.settings.positive_fraction == 0.25
    assert (section.images, section.proposals.count, section.proposals.views) == (256, 200, "dense")
    assert section.combine == "odds"  # docs/RESULTS.md: 23.28, where the R-CNN's score alone has 25.80


def test_anchors_are_sampled_one_to_one_of_small_objects_too() -> None:
    """App. C: "randomly sample 8 anchors for each image, where the sampled positive and negative anchors have a ratio
    of 1:1"; tests/localization/test_class_rpn.py has what repeating does where there are fewer than four positives."""
    settings = load_config("loc_r101").model.settings
    assert (settings.anchors_per_image, settings.positive_fraction, settings.repeat_positives) == (8, 0.5, True)


def test_the_classifier_of_the_localization_rows_is_tested_densely() -> None:
    """Table 13: 14.4 and 10.6 with ResNet-101's classes, whose dense error is Table 4's."""
    for name in ("loc_r101", "loc_r101_rcnn"):
        section = load_config(name).classifier
        assert (section.views, section.nets) == ("dense", [("imagenet_r101", "runs/imagenet_r101/last.pth")])


def test_the_four_step_configs_train_what_the_joint_ones_do() -> None:
    """The same model but for 64 regions, data and test; RPN steps of 8 and Fast R-CNN steps of 16 images on COCO."""
    for name in (
        "coco_r101_context",
        "coco_r101_trainval_context",
        "voc07_r101_plus",
        "voc12_r101_plus",
        "det_r101_plus",
    ):
        joint, four = load_config(name), load_config(f"{name}_alternating")
        assert four.schedule is None
        assert four.model.head.pop("regions") == 64
        joint.model.head.pop("regions")
        for section in ("model", "data", "optimizer", "testing", "init_from"):
            assert four[section] == joint[section], (name, section)
        expected = (1, 2) if name.startswith("voc") else (8, 16)
        assert (four.alternating.rpn.images, four.alternating.head.images) == expected


def test_the_caffe_line_doubles_the_biases_rate() -> None:
    assert load_config("voc07_r101_caffe").optimizer.double_bias_lr
    assert not load_config("voc07_r101").optimizer.double_bias_lr


def test_images_of_a_step_are_shared_by_eight_processes_or_the_config_says_what_to_set() -> None:
    """The configs for eight GPUs as the authors had them need no option; VOC's one and two images do."""
    for name in ("coco_r101", "det_r101", "imagenet_r50", "cifar10_r20", "loc_r101", "loc_r101_rcnn"):
        assert images_for(load_config(name), 8) == [], name
    assert images_for(load_config("voc07_r101"), 8) == ["data.images=8"]
    assert "data.images=8" in (CONFIGS / "voc07_r50.py").read_text()
    four = ["alternating.rpn.images=8", "alternating.head.images=8"]
    assert images_for(load_config("voc07_r101_alternating"), 8) == four
    assert "alternating.rpn.images=8" in (CONFIGS / "_base_/alternating.py").read_text()
