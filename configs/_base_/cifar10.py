"""Settings of all CIFAR-10 configs (Sect. 4.2): 64k steps of 128 images, rate .1, divided by ten at 32k and 48k."""

from resdet.classification.augment import ShiftAndFlip
from resdet.data.classification.cifar import Cifar10
from resdet.data.classification.settings import ResidentData
from resdet.engine.schedule import MultiStep
from resdet.nets.cifar_resnet import CifarResNet

ROOT = "data"
net = dict(type=CifarResNet, depth=20)
augment = dict(type=ShiftAndFlip, padding=4)
data = dict(
    type=ResidentData,
    train=dict(type=Cifar10, root=ROOT, image_set="train"),
    test=dict(type=Cifar10, root=ROOT, image_set="test"),
    images=128,
)
optimizer = dict(lr=0.1, reference_images=128, momentum=0.9, weight_decay=1e-4)
schedule = dict(type=MultiStep, steps=64_000, milestones=(32_000, 48_000), reference_images=128)
loop = dict(log_every=100, checkpoint_every=1000, validate_every=2000, accumulate=1, clip=None, ema=None, best="")
ghost_batch = None  # BN normalises over so many images at a time (the paper's two GPUs: 64); None: over all 128
precise_bn = dict(images=0)  # for BN statistics after training; 0: the running averages stay
log_backends = []
