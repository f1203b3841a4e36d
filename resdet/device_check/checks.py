"""All checks, in the order in which they start and are reported."""

from __future__ import annotations

from resdet.device_check.agreement import check_agreement
from resdet.device_check.check import Check, Kind
from resdet.device_check.host_syncs import check_host_syncs
from resdet.device_check.operators import (
    check_boxes,
    check_draws,
    check_ghost_bn,
    check_inference,
    check_kernels,
    check_pooling,
)
from resdet.device_check.speed import check_speed
from resdet.device_check.trainings import check_classifiers, check_detectors, check_localizers, check_resume
from resdet.device_check.variants import check_cifar, check_compiled, check_processes

CHECKS = (
    Check("kernels", "which Triton kernels run", check_kernels),
    Check("boxes", "anchors, matching, sampling, NMS, Soft-NMS, voting", check_boxes),
    Check("draws", "random draws and augmentation", check_draws),
    Check("pooling", "RoIPool and RoIAlign, forward and backward", check_pooling),
    Check("ghost-bn", "ghost batch normalization, forward and backward", check_ghost_bn),
    Check("agreement", "every family's outputs, losses and gradients, in every precision", check_agreement),
    Check("inference", "from images to detections, with Appendix B's improvements", check_inference),
    Check("host-syncs", "a training step waits for the GPU only in NMS", check_host_syncs),
    Check("compile", "train-cls --compile in two modes, with validation", check_compiled, Kind.COMMANDS),
    Check("resume", "a training killed and resumed, and determinism", check_resume, Kind.COMMANDS),
    Check("train-loc", "the localizer and its R-CNN stage, in every precision", check_localizers, Kind.COMMANDS),
    Check("train-det", "the detector in every precision, eval-voc, predict", check_detectors, Kind.COMMANDS),
    Check("train-cls", "the classifier in every precision", check_classifiers, Kind.COMMANDS),
    Check("processes", "a distributed run of one process (NCCL)", check_processes, Kind.COMMANDS),
    Check("cifar", "CIFAR's data on the device", check_cifar, Kind.COMMANDS),
    Check("speed", "the tables of resdet benchmark, beside torchvision", check_speed, Kind.ALONE),
)
