"""compare_fruit_r18's settings on data not used to choose them: coco128 in halves, one to train, one to test.

python tools/benchmark.py compare_coco128_r18 --mode accuracy --against torchvision --init-from runs/trunk/last.pth
"""

from mmengine.config import read_base

from resdet.data.detection.coco import COCODataset
from resdet.data.detection.splitting import SplitPart

with read_base():
    from .compare_fruit_r18 import *

PHOTOS = dict(type=COCODataset, root="data/coco128", splits=["train2017"])
model.update(num_classes=80)
data["train"] = dict(type=SplitPart, dataset=PHOTOS, part="train", fraction=0.5)
data["test"] = dict(type=SplitPart, dataset=PHOTOS, part="test", fraction=0.5)
data.update(method="coco")
