"""Time and memory for annotations of COCO's full size. Takes minutes: run with ``pytest -m heavy``."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from resdet.data.detection.coco import COCO_CLASSES, COCODataset
from resdet.data.detection.coco_results import read_results, write_results
from resdet.metrics.flat import FlatDetections
from resdet.recipes.detection.score import score

pytestmark = pytest.mark.heavy
IMAGES, OBJECTS = 118_287, 860_001  # of train2017
READ = """
import resource, sys, time
from resdet.data.detection.coco import COCODataset
started = time.process_time()
dataset = COCODataset(sys.argv[1], ["train2017"])
print(len(dataset), len(dataset.table.labels), time.process_time() - started)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
SHARE = """
import sys
from resdet.data.detection.coco import COCODataset
from torch.utils.data import DataLoader, Dataset

def private(_=None):  # MiB of this process that it shares with no other
    text = open("/proc/self/smaps_rollup").read()
    return sum(int(l.split()[1]) for l in text.splitlines() if l.startswith("Private_Dirty")) / 1024

class Boxes(Dataset):
    def __init__(self, table): self.table = table
    def __len__(self): return len(self.table)
    def __getitem__(self, i):
        boxes = float(self.table.boxes[self.table.objects(i)].sum())
        return boxes, private() if i % 5000 == 0 else 0.0

dataset = COCODataset(sys.argv[1], ["train2017"])
print(max(float(p.max()) for _, p in DataLoader(Boxes(dataset.table), 1000, num_workers=2)))
"""


def write_annotations(path: Path, images: int, objects: int, polygons: bool = True) -> None:
    """Write annotations as COCO does: every object with a polygon of about sixty numbers."""
    random = np.random.default_rng(0)
    ids = [i if i <= 11 else i + 1 for i in range(1, 81)]  # with a hole
    owner = np.sort(random.integers(0, images, objects)).tolist()
    boxes = random.uniform(1, 200, (objects, 4)).round(2).tolist()
    polygon = random.uniform(1, 600, 60).round(2).tolist()
    labels = random.integers(0, 80, objects).tolist()
    with path.open("w") as file:
        file.write('{"images": [')
        rows = (
            json.dumps({"id": 3 * i, "file_name": f"{3 * i:012d}.jpg", "height": 480, "width": 640, "license": 1})
            for i in range(images)
        )
        file.write(", ".join(rows) + '], "annotations": [')
        for i, (image, box, label) in enumerate(zip(owner, boxes, labels, strict=True)):
            item = {"id": i, "image_id": 3 * image, "category_id": ids[label], "bbox": box, "iscrowd": 0}
            item |= {"area": box[2] * box[3], "segmentation": [polygon] if polygons else []}
            file.write((", " if i else "") + json.dumps(item))
        categories = [{"id": n, "name": name} for n, name in zip(ids, COCO_CLASSES, strict=True)]
        file.write('], "categories": ' + json.dumps(categories) + "}")


def run(code: str, *arguments: object) -> str:
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    (folder / "train2017").mkdir()
    (folder / "annotations").mkdir()
    write_annotations(folder / "annotations/instances_train2017.json", IMAGES, OBJECTS)
    for i in range(IMAGES):
        (folder / f"train2017/{3 * i:012d}.jpg").touch()
    return folder


def test_train2017_is_read_within_15_s_and_from_the_cache_within_3_s_below_2_gib(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Processor time: the wall clock depends on what else the machine does."""
    size = (root / "annotations/instances_train2017.json").stat().st_size
    found = [run(READ, root).split() for _ in range(2)]
    with capsys.disabled():
        for name, (_, _, seconds, peak) in zip(("parsed", "from the cache"), found, strict=True):
            print(f"\n{size / 1e6:.0f} MB {name}: {float(seconds):.1f} s of processor time, peak {float(peak):.2f} GiB")
    assert [f[0] for f in found] == [str(IMAGES)] * 2
    assert found[0][1] == found[1][1]
    assert float(found[0][2]) < 15
    assert float(found[1][2]) < 3
    assert max(float(f[3]) for f in found) < 2


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="asks Linux which memory is shared")
def test_workers_share_the_annotations(root: Path) -> None:
    assert float(run(SHARE, root)) < 100  # MiB of a worker's own after it has read every annotation


def test_val2017_is_scored_as_pycocotools_scores_it_in_a_third_of_the_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """5,000 images x 100 detections x 80 classes; both read the results from memory."""
    (tmp_path / "annotations").mkdir()
    truth = tmp_path / "annotations/instances_val2017.json"
    write_annotations(truth, 5000, 36_335)
    dataset = COCODataset(tmp_path, ["val2017"], with_images=False)
    random = np.random.default_rng(1)
    corner = random.uniform(0, 400, (500_000, 2))
    box = np.concatenate([corner, corner + random.uniform(5, 200, (500_000, 2))], 1).astype(np.float32)
    labels = random.integers(0, 80, 500_000)
    detections = FlatDetections(np.repeat(np.arange(5000), 100), labels, random.random(500_000), box)
    write_results(tmp_path / "results.json", dataset, detections)
    found = read_results(tmp_path / "results.json", dataset)  # rounded as the file is

    started = time.process_time()
    ours = score(found, dataset, "coco")
    middle = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        rows = np.concatenate([found.box[:, :2], found.size], 1)
        columns = [dataset.image_numbers[found.image], *rows.T, found.score]
        evaluation = COCOeval(coco, coco.loadRes(np.stack([*columns, dataset.category_ids[found.label]], 1)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    theirs = time.process_time() - middle
    with capsys.disabled():
        print(f"\nours {middle - started:.1f} s, pycocotools {theirs:.1f} s, peak with ours alone {peak:.2f} GiB")
    assert middle - started < theirs / 3
    assert peak < 2
    np.testing.assert_allclose(sorted(ours.figures.values()), sorted(evaluation.stats), atol=1e-9)
