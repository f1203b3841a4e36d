"""Settings of all classification configs (Sect. 3.4): SGD, rate .1 for 256 images per step, momentum .9, decay 1e-4."""

optimizer = dict(lr=0.1, reference_images=256, momentum=0.9, weight_decay=1e-4)
loop = dict(log_every=50, checkpoint_every=1000, validate_every=0, accumulate=1, clip=None, ema=None, best="")
augment = None  # random views made on the device, see resdet/classification/augment.py
ghost_batch = None  # BN normalises over so many images at a time, as on several GPUs; None: over all
precise_bn = dict(images=0)  # for BN statistics after training; 0: the running averages stay
log_backends = []
