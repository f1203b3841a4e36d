"""The embedded localization set: one large shape per image, 8 classes, pictures of about 80 px; minutes on a CPU.

Not in the paper. shapes_loc_rcnn, which `python tools/train_loc.py` trains, adds the R-CNN stage.
"""

from mmengine.config import read_base

from resdet.data.embedded.localization import ShapesLocalization
from resdet.engine.schedule import Cosine

with read_base():
    from ._base_.class_rpn import *

model.update(num_classes=8)
model["net"].update(depth=18, width=0.25)
model["settings"].update(stage="conv4", hidden=128, scales=(24, 48, 96))
data["train"].update(type=ShapesLocalization)
data["test"].update(type=ShapesLocalization)
data["train_view"].update(size=96, short_side=(232, 320))
data["test_view"].update(size=96, short=240)
data.update(images=64, workers=1, scales=(200, 240, 288))
optimizer.update(lr=0.1)
schedule = dict(type=Cosine, steps=500, warmup=50)
init_from = "runs/shapes_cls/last.pth"  # tools/train_loc.py trains it where it is not there
