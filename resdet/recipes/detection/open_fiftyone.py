"""Open the folder of this file in FiftyOne: truth and detections of a test set, as `resdet to-fiftyone` writes them.

pip install fiftyone
python open_fiftyone.py
"""

from pathlib import Path

import fiftyone

folder = Path(__file__).resolve().parent
dataset = fiftyone.Dataset()
for field in ("ground_truth", "predictions"):
    dataset.merge_dir(
        dataset_type=fiftyone.types.FiftyOneImageDetectionDataset,
        data_path=str(folder / "data.json"),
        labels_path=str(folder / f"{field}.json"),
        label_field=field,
    )
dataset.evaluate_detections("predictions", gt_field="ground_truth", eval_key="eval")  # hits and misses by COCO's rules
fiftyone.launch_app(dataset).wait()
