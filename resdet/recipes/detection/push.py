"""Publish a trained detector on the Hugging Face Hub, where hf://owner/name loads it.

push_detector("runs/mine/last.pth", "owner/name")
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resdet.data.transforms import Resizer
from resdet.engine.config import build
from resdet.recipes.detection.export import TrainedDetector, read_trained, write_detector_safetensors
from resdet.weights.hub import FILE, check_repo, upload

_SHOWN = 100  # classes that the card lists

CARD = """---
library_name: resdet
pipeline_tag: object-detection
tags:
- object-detection
- faster-rcnn
- resnet
---

# {name}

A Faster R-CNN detector ({net}) for {count}: {classes}.
Images are resized to a short side of {short} pixels{long}.

```python
import resdet  # pip install 'resdet[hub]'

detector = resdet.load_detector("hf://{repo}")
detections = detector("photo.jpg").above(0.5)
```

`{file}` holds the weights, the preprocessing, the class names and the config of the training.
"""


def push_detector(
    checkpoint: str | Path,
    repo: str,
    private: bool = False,
    message: str = "Upload a detector of resdet",
    config: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Upload a detector as model.safetensors, with a README.md where the repository has none.

    The file holds the config of the training, with the paths of its data.

    Args:
        checkpoint: of the detector.
        repo: "owner/name"; it is made if it does not exist.
        private: whether the repository is seen by its owner alone; a public one is refused then.
        message: of the commit.
        config, options: as `export_detector` takes them.

    Returns:
        The address of the repository.

    Raises:
        UserError: the checkpoint cannot be read, a package is missing, nobody is logged in, or there is no network.
    """
    check_repo(repo)
    trained = read_trained(checkpoint, config, options)
    with tempfile.TemporaryDirectory() as folder:
        weights, card = Path(folder, FILE), Path(folder, "README.md")
        write_detector_safetensors(trained, weights)
        card.write_text(model_card(trained, repo), encoding="utf-8")
        return upload(repo, {FILE: weights, card.name: card}, private, message)


def model_card(trained: TrainedDetector, repo: str) -> str:
    """The README.md of a repository: what the detector finds, and how to use it."""
    names, resizer = list(trained.classes), build(trained.cfg.data.resizer)
    assert isinstance(resizer, Resizer)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    net = trained.cfg.model.net
    depth = f"-{net.depth}" if "depth" in net else ""
    return CARD.format(
        name=repo.partition("/")[2],
        repo=repo,
        net=f"{net.type.__name__}{depth}",
        count="one class" if len(names) == 1 else f"{len(names)} classes",
        classes=", ".join(" ".join(name.split()) for name in names[:_SHOWN]) + more,
        short=resizer.short,
        long="" if resizer.long is None else f", the long side to at most {resizer.long}",
        file=FILE,
    )
