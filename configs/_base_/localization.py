"""Settings of all localization configs (App. C): SGD on 256 images per step, from a classification net.

The paper gives the batch size, not the rate: .01, a tenth of the classification's (choice).
"""

optimizer = dict(lr=0.01, reference_images=256, momentum=0.9, weight_decay=1e-4)
loop = dict(log_every=50, checkpoint_every=1000, validate_every=0, accumulate=1, clip=None, ema=None, best="")
ghost_batch = None  # BN normalises over so many images at a time, as on several GPUs; None: over all
init_from = None
log_backends = []
