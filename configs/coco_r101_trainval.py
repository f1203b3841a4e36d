"""ResNet-101 trained on COCO train+val, tested on test-dev, as the paper's submission was (Table 9).

The paper has no result for this detector alone, only with App. B's improvements (coco_r101_trainval_context.py and
_multiscale.py). The annotations of test-dev are not public: --write-results of eval-coco writes the file for COCO's
server. Its images are listed in image_info_test-dev2015.json.
"""

from mmengine.config import read_base

from resdet.data.detection.coco import COCODataset

with read_base():
    from .coco_r101 import *

data.update(
    train=dict(type=COCODataset, root=ROOT, splits=["train2014", "val2014"], empty_images=False),
    test=dict(
        type=COCODataset, root=ROOT, splits=[("test2015", "annotations/image_info_test-dev2015.json")], annotated=False
    ),
)
loop.update(validate_every=0)  # there are no answers to compare with
