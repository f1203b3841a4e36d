"""The subcommands of `resdet` and their one-line descriptions, grouped as `resdet --help` shows them.

A subcommand `train-det` declares its arguments in `resdet.cli.arguments.train_det` and is run by
`resdet.cli.commands.train_det`. Nothing is imported here, so that help takes no time.
"""

from __future__ import annotations

GROUPS: dict[str, dict[str, str]] = {
    "the paper's tables": {
        "table": "the rows of a table or figure, with the paper's results and the commands",
        "reproduce": "run a row's commands, one after the other",
        "results": "what was measured, as a page made of the ledger in results/",
    },
    "train": {
        "train-cls": "train a classifier (Sect. 3.4, 4.1, 4.2)",
        "train-det": "train a Faster R-CNN detector (Sect. 4.3, App. A)",
        "train-loc": "train a localizer, and its R-CNN stage if the config has one (App. C)",
    },
    "evaluate and compare": {
        "eval-cls": "top-1 and top-5 error of classifiers",
        "eval-voc": "mAP of a detector by the rules of PASCAL VOC or ImageNet DET",
        "eval-coco": "mAP of a detector by the rules of COCO",
        "eval-loc": "localization error by the rules of ILSVRC",
        "errors": "errors of a detector: kinds and their cost, confusions, the worst images",
        "compare-voc": "whether one detector's mAP is higher than another's by more than chance",
        "ablate": "the rows of Table 9: refinement, context, multi-scale testing, ensemble",
        "plot-errors": "training and test error curves of classifiers",
    },
    "use a detector": {
        "predict": "detect objects in images, folders, a video, a webcam or a stream",
        "export": "write a detector as an ONNX or .safetensors file",
        "serve": "a page in the browser on which a detector is tried",
        "push": "publish a detector on the Hugging Face Hub",
        "to-fiftyone": "write a test set with its detections for FiftyOne",
    },
    "check and split data": {
        "new-config": "write a config for your own data, whose format is recognized",
        "inspect-data": "check a data set: every bad file and box, statistics, sample pictures",
        "split-det": "split ImageNet DET's val into val1 and val2",
    },
    "measure": {
        "benchmark": "speed of a net, or accuracy beside torchvision's Faster R-CNN",
        "check-gpu": "whether everything works on this machine's GPU, with a report",
        "complexity": "Table 1, and parameters and multiply-adds of every net",
        "responses": "standard deviations of layer responses (Fig. 7)",
    },
    "weights and configs": {
        "export-weights": "write weights under torchvision's or detectron2's names",
        "precise-bn": "compute a classifier's BN statistics over its training set",
        "copy-configs": "copy the configs that come with resdet into a folder, or list them",
    },
}
SUBCOMMANDS: tuple[str, ...] = tuple(name for group in GROUPS.values() for name in group)


def module_name(subcommand: str) -> str:
    """The name of a subcommand's module in `arguments` and `commands`: train_det for train-det."""
    return subcommand.replace("-", "_")
