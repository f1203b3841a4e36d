"""detectron2's C4 detectors: the settings that its model zoo was trained and tested with (Base-RCNN-C4.yaml).

Its rate is .02 for 16 images, with 1,000 steps of warm-up. Its trainings draw the short side from 640..800 pixels; here
it is 800 throughout.
"""

from mmengine.config import read_base

from resdet.data.transforms import Resizer

with read_base():
    from .faster_rcnn import *

model["rpn"].update(hidden=1024, scales=(32, 64, 128, 256, 512), keep_border=True, beta=0.0, test_post_nms=1000)
model["head"].update(pooling="align", regions=512, beta=0.0, nms_iou=0.5)
data.update(resizer=dict(type=Resizer, short=800, long=1333), images=16)
optimizer.update(lr=0.02, reference_images=16, weight_decay=1e-4)
