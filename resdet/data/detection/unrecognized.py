"""Why no data set is recognized in a folder, for messages: what lies there instead, or what is missing or broken."""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

from resdet.data.detection.coco_json import read_content
from resdet.data.detection.coco_records import each, file_name
from resdet.data.detection.folder_content import json_files
from resdet.data.detection.other_txt import other_file
from resdet.data.detection.yolo_folders import label_folders
from resdet.data.detection.yolo_names import names_file
from resdet.data.image_files import find_folders, is_hidden, is_image_name, similar_file
from resdet.data.text_files import quoted, quoted_path, read_text
from resdet.errors import UserError

EXPECTED = (
    "expected VOC (VOC<year>/ or Annotations/*.xml), COCO (a .json with images, annotations and categories) or YOLO "
    "(data.yaml or classes.txt, labels/*.txt)"
)
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
_NOT_READ = (".csv", ".tfrecord", ".record", ".parquet", ".arrow", ".jsonl", ".ndjson", ".odgt", ".mat")
_TOOLS = {  # of whose JSON the keys are
    "LabelMe": ("shapes", "imagePath"),
    "Supervisely": ("classes", "tags"),  # its meta.json
    "Datumaro": ("categories", "items"),
    "FiftyOne": ("samples",),  # its own export; its COCO, VOC and YOLO exports are read
}
_PLACES = "images/*.jpg and labels/*.txt, also in a folder of each set, or txt files beside the images"
_LARGEST = 200_000_000  # bytes of a JSON file that is looked at
_SMALL = 1_000_000  # bytes of a JSON file that may list no image
_SEVERAL = 20  # images of a file that are looked for, and txt files that are looked at
_MOST_WALKED = 100_000  # files of a folder among which txt files are looked for


def why_not(root: Path) -> str | None:
    """What is wrong with a folder in which no data set was recognized; None if nothing there looks like one."""
    files = [path for path in sorted(root.iterdir()) if path.is_file() and not is_hidden(Path(path.name))]
    folders = [root, *find_folders(root)]
    for file in [file for folder in folders for file in json_files(folder)]:
        why = _why_not_coco(file)
        if why is not None:
            return why
    other_txt = _other_txt(root)
    if other_txt is not None:
        return other_txt
    labels = _yolo_labels(root)
    if labels is not None:
        return (
            f"{labels} has txt files of YOLO, but no class is named; write a name per line into {root / 'classes.txt'}"
        )
    settings = names_file(root)
    if settings is not None:
        return f"{settings.name} names classes of YOLO, but no images with txt files are found; expected {_PLACES}"
    archive = next((path for path in files if path.suffix.lower() in _ARCHIVES), None)
    if archive is not None:
        return f"unpack {archive.name}, and give the folder that it makes"
    below = [path for folder in folders[1:] for suffix in _NOT_READ for path in sorted(folder.glob(f"*{suffix}"))]
    other = next((path for path in (*files, *below) if path.suffix.lower() in _NOT_READ), None)
    return None if other is None else f"{other.name} is of a format that is not read; export as COCO, VOC or YOLO"


def _other_txt(root: Path) -> str | None:
    """What one of the first txt files below a folder is if it is of another form; None if none of them is."""
    below = (Path(place) / name for place, _, names in os.walk(root) for name in sorted(names))
    texts = (
        path
        for path in islice(below, _MOST_WALKED)
        if path.suffix.lower() == ".txt" and not is_hidden(path.relative_to(root))
    )
    named = ((path, other_file(path)) for path in islice(texts, _SEVERAL))
    return next((f"{quoted_path(path)} {why}" for path, why in named if why is not None), None)


def _yolo_labels(root: Path) -> Path | None:
    """A folder of labels, or `root` where a txt file lies beside an image of its name; None if there is neither."""
    for folder in label_folders(root):
        if any(folder.rglob("*.[tT][xX][tT]")):
            return folder
    names = [Path(name) for name in os.listdir(root)]
    images = {name.stem for name in names if is_image_name(name)}
    return root if any(name.suffix.lower() == ".txt" and name.stem in images for name in names) else None


def first_images(file: Path) -> list[str]:
    """The names of some of the images that a file of COCO instances lists; () if it lists none.

    Raises:
        UserError: the file is not valid JSON, or of another content; a file name is no text.
    """
    if _lists_no_image(file):
        return []
    names = each(file, (read_content(file).images or [])[:_SEVERAL], file_name)
    return [name.strip() for name in names if name.strip()]


def no_images(file: Path) -> str:
    """The message about a file of COCO instances without its images."""
    names = first_images(file)
    if not names:
        why = "lists no image" if _lists_no_image(file) else "its images have no 'file_name'; write it"
        return f"{file}: {why}"
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    folders = [root / "images", root, *find_folders(root)]
    name = PurePath(names[0].replace("\\", "/")).name
    similar = next((found for folder in folders if (found := similar_file(folder / name))), None)
    first = f"{file}: a file of COCO instances, but its images (first: {quoted(names[0])}) are not found nearby"
    if similar is not None:
        return f"{first}{similar}; write 'file_name' as the files are called"
    return f"{first}; put them into {quoted_path(root / 'images')}"


def _lists_no_image(file: Path) -> bool:
    if file.stat().st_size > _SMALL:
        return False
    try:
        content = _json_of(file)
    except (ValueError, RecursionError):
        return False  # read_content names the error
    return isinstance(content, dict) and content.get("images") == []


def _why_not_coco(file: Path) -> str | None:
    try:
        content = _json_of(file)
    except (ValueError, RecursionError) as error:
        return f"{file} is not valid JSON ({str(error)[:200]}); download or write it again"
    except UserError as error:
        return str(error)
    tool = _tool_of(content)
    if tool is not None:
        return f"{file.name} is of {tool}, which is not read; convert it to COCO or VOC"
    if not isinstance(content, dict):
        return None
    keys = [key for key in ("images", "annotations", "categories") if key in content]
    absent = [key for key in ("images", "annotations", "categories") if key not in content]
    return f"{file} has {' and '.join(keys)} but no {' and no '.join(absent)}" if keys and absent else None


def _tool_of(content: Any) -> str | None:
    """The tool whose own JSON this is; None for others."""
    first = content[0] if isinstance(content, list) and content else content
    if isinstance(content, dict):
        first = next(iter(content.get("_via_img_metadata", content).values()), None) if content else None
        for tool, keys in _TOOLS.items():
            if all(key in content for key in keys):
                return tool
    if not isinstance(first, dict):
        return None
    if isinstance(content, list):
        if "image" in first and "annotations" in first:
            return "CreateML"
        if "file_name" in first and "annotations" in first:
            return "detectron2"
        if {"name", "labels"} <= first.keys():
            return "BDD100K"
        full, minimal = {"data", "annotations"} <= first.keys(), {"image", "id"} <= first.keys()
        return "Label Studio" if full or minimal else None
    return "VIA" if "regions" in first and "filename" in first else None


def _json_of(file: Path) -> Any:
    return json.loads(read_text(file)) if file.stat().st_size < _LARGEST else None
