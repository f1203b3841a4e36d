"""ImageNet localization (App. C): one box for each class predicted by a separate classifier.

Modules:
    class_rpn: the per-class RPN.
    crop_regression: per-class box regression from one crop, the baseline of Table 13.
    rcnn, warping: the R-CNN stage, and its warped crops.
    crops, inference: 1-crop and dense multi-scale tests.
    ensemble: several localizers or R-CNN stages.
    per_class: the linear layers with separate weights for each class.
"""
