"""The defaults of the paper's configs, against the paper's sentences."""

from __future__ import annotations

from resdet.recipes.sections import load_config


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
