"""Tensor functions on boxes. All but NMS and voting are batched, with fixed shapes; boxes are computed in float32.

- `geometry`: area, IoU, clipping, mirroring
- `coding`: deltas of box regression
- `anchors`: the anchors of a feature map
- `targets`: matching anchors or regions with the ground truth, and sampling them
- `region_sampling`: sampling regions of all images of a data set (RoI-centric)
- `losses`: of the RPN and of the region head
- `nms`, `soft_nms`, `voting`: detections from scored boxes
- `proposals`: from the RPN's outputs to a fixed number of proposals
- `roi_align`, `roi_pool`: pooling of regions; `region_grid`: what the two share

Import from the modules. Nothing here knows of networks, data sets or files.
"""
