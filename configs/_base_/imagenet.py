"""Settings of all ImageNet configs (Sect. 3.4): 60 x 10^4 steps of 256 images, the rate divided by ten "when the error
plateaus".

That is after 150k, 300k and 450k steps here: the curves of Fig. 4 fall at about epochs 30 and 60. The rule itself is
schedule.type=Plateau. The short side is drawn from [256, 480], crops of 224, flips, AlexNet's colour noise. BN sees 32
images at a time, as on the authors' eight GPUs.
"""

from mmengine.config import read_base

from resdet.classification.augment import ColourNoise
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.transforms import CenterCrop, TrainCrop
from resdet.engine.schedule import MultiStep
from resdet.nets.resnet import ResNet

with read_base():
    from .classifier import *

ROOT = "data/imagenet"
net = dict(type=ResNet, depth=50)
augment = dict(type=ColourNoise)
data = dict(
    train=dict(type=ImageNetDataset, root=ROOT, image_set="train"),
    test=dict(type=ImageNetDataset, root=ROOT, image_set="val"),
    train_view=dict(type=TrainCrop, size=224, short_side=(256, 480)),
    test_view=dict(type=CenterCrop, size=224, short=256),
    images=256,
    workers=8,
)
schedule = dict(
    type=MultiStep, steps=600_000, milestones=(150_000, 300_000, 450_000), reference_images=256
)  # epochs 30, 60 and 90 of 120
ghost_batch = 32
loop.update(checkpoint_every=5000, validate_every=5000)
precise_bn.update(images=50_000)
