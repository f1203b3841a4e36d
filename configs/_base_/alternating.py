"""The four-step alternating training (Sect. 4.3) as the authors ran it on VOC 07+12; "head" is the Fast R-CNN step.

RPN steps of one image: 60k at .001, 20k at .0001. Fast R-CNN steps of two images with 64 regions each: 30k of 60k
before the rate is divided by ten. A config that imports this sets schedule = None and the head's 64 regions.

With 8 processes set alternating.rpn.images=8 alternating.head.images=16: rates and steps follow.
"""

from resdet.engine.schedule import MultiStep

alternating = dict(
    rpn=dict(
        images=1,
        reference_images=1,
        schedule=dict(type=MultiStep, steps=80_000, milestones=(60_000,), reference_images=1),
    ),
    head=dict(
        images=2,
        reference_images=2,
        schedule=dict(type=MultiStep, steps=60_000, milestones=(30_000,), reference_images=2),
    ),
)
