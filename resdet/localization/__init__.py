"""ImageNet localization (App. C): one box for each class that a classifier names.

`class_rpn` (the per-class RPN), `crop_regression` (VGG's per-class regression, the baseline), `rcnn` (the R-CNN stage),
`regions` (its training crops: labels, draws, warping), `views` and `testing` (1-crop and dense multi-scale),
`ensemble`. Class scores come from outside, as data. Import from the modules.
"""
