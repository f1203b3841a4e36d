"""Pure tensor functions on boxes: batched, of fixed shapes, float32 arithmetic whatever the network's precision.

`geometry` (areas, overlaps, clipping), `coding` (deltas of box regression), `anchors` (the reference boxes of a map),
`targets` (matching and sampling), `losses` (of the proposal network and the region head), `nms` (suppression, within
classes too), `proposals` (from a network's maps to fixed slots of proposals), `pooling` (RoIAlign and RoIPool). Import
from the modules; nothing here knows of networks, data sets or files.
"""
