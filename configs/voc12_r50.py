"""ResNet-50 on the PASCAL VOC 2012 test set, trained on 07++12 (07 trainval and test, 12 trainval): Table 7's protocol.

The paper has VGG-16 (70.4) and ResNet-101 (73.8, voc12_r101.py) there. The annotations of the test set are not public:
the evaluation here is on 2012 val, which is part of the training data, so it measures only the fit. For the server, set
data.test.splits=[('2012','test')] and data.test.annotated=False; --write-submission makes its .tar.gz.

The schedule is our choice: 110k steps of two images, with the rate divided by ten at 80k. The authors train the RPN
with 80k and then 20k steps on 07+12, and Fast R-CNN with 40k and then 60k steps on 07++12.
"""

from mmengine.config import read_base

from resdet.data.detection.voc import VOCDataset
from resdet.engine.schedule import MultiStep

with read_base():
    from .voc07_r50 import *

data.update(
    train=dict(
        type=VOCDataset,
        root=ROOT,
        splits=[("2007", "trainval"), ("2007", "test"), ("2012", "trainval")],
        keep_difficult=False,
    ),
    test=dict(type=VOCDataset, root=ROOT, splits=[("2012", "val")]),
    method="area",
)
schedule = dict(type=MultiStep, steps=110_000, milestones=(80_000,), reference_images=2)
