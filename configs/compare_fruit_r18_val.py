"""compare_fruit_r18 for choosing settings: trained on two thirds of its training photographs, tested on the rest."""

from mmengine.config import read_base

from resdet.data.detection.splitting import SplitPart
from resdet.data.detection.voc import VOCDataset

with read_base():
    from .compare_fruit_r18 import *

PHOTOS = dict(type=VOCDataset, root=ROOT, splits=[("fruit", "trainval")], classes=CLASSES, keep_difficult=False)
data["train"] = dict(type=SplitPart, dataset=PHOTOS, part="train", fraction=2 / 3)
data["test"] = dict(type=SplitPart, dataset=PHOTOS, part="test", fraction=2 / 3)
