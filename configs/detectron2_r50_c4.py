"""detectron2's R50-C4 on COCO train2017, tested on val2017: its model zoo has 35.7 AP (1x) and 38.4 (3x).

python tools/predict.py detectron2_r50_c4 model_final_f97cb7.pkl photos/           the zoo's file (3x), as it is
python tools/eval_coco.py detectron2_r50_c4 --checkpoint model_final_f97cb7.pkl
"""

from mmengine.config import read_base

from resdet.data.detection.coco import COCODataset
from resdet.engine.schedule import MultiStep

with read_base():
    from ._base_.detectron2_c4 import *

ROOT = "data/coco"
model.update(num_classes=80)
data.update(
    train=dict(type=COCODataset, root=ROOT, splits=["train2017"], empty_images=False),
    test=dict(type=COCODataset, root=ROOT, splits=["val2017"]),
    method="coco",
)
schedule = dict(type=MultiStep, steps=90_000, milestones=(60_000, 80_000), warmup=1000, reference_images=16)  # 1x
init_from = "data/weights/R-50.pkl"
