"""Classify a photo with an exported classifier, or localize in it. Needs numpy, opencv-python and onnxruntime.

python run_onnx_crop.py classifier.onnx photo.jpg
python run_onnx_crop.py localizer.onnx photo.jpg --classes n01440764 n01443537
"""

import argparse
import json

import cv2
import numpy as np
import onnxruntime


def center_crop(image, size, short):
    """Cut the centre crop of [H, W, 3] and resize it: [size, size, 3]; (left, top, side) of the square in pixels."""
    height, width = image.shape[:2]
    window = min(height, width) * 224 / short
    side = max(1, min(round(window), height, width))
    left = min(max(0, round((width - window) / 2)), width - side)
    top = min(max(0, round((height - window) / 2)), height - side)
    part = image[top : top + side, left : left + side]
    if side != size:
        part = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
    return np.ascontiguousarray(part), (left, top, side)


def facts_of(session):
    """The metadata: "classes", "size", "short"."""
    return {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}


def classify(session, image):
    """Probabilities [K] of `image`, uint8 [H, W, 3] RGB."""
    facts = facts_of(session)
    crop, _ = center_crop(image, facts["size"], facts["short"])
    return session.run(None, {"crops": crop[None]})[0][0]


def localize(session, image, labels):
    """Boxes [L, 4] in the pixels of `image`, and scores [L], of the classes `labels`."""
    facts = facts_of(session)
    crop, (left, top, side) = center_crop(image, facts["size"], facts["short"])
    boxes, scores = session.run(None, {"crop": crop, "labels": np.array(labels, np.int64)})
    return boxes * np.float32(side / facts["size"]) + np.float32([left, top, left, top]), scores


def main():
    """Read the arguments, run the file, print a line of JSON per class."""
    parser = argparse.ArgumentParser(description="Run an exported classifier or localizer.")
    parser.add_argument("model")
    parser.add_argument("photo")
    parser.add_argument("--classes", nargs="+", help="what a localizer looks for (default: all its classes)")
    args = parser.parse_args()
    photo = cv2.imread(args.photo)  # BGR, turned as its EXIF data say
    if photo is None:
        raise SystemExit(f"{args.photo}: no image that OpenCV reads")
    session = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])
    names = facts_of(session)["classes"]
    if session.get_inputs()[0].name == "crops":
        scores = classify(session, photo[:, :, ::-1])
        for k in np.argsort(-scores)[:5]:
            print(json.dumps({"class": names[k], "probability": round(float(scores[k]), 4)}))
        return
    wanted = args.classes or names
    boxes, scores = localize(session, photo[:, :, ::-1], [names.index(name) for name in wanted])
    for name, box, score in zip(wanted, boxes, scores, strict=True):
        print(json.dumps({"class": name, "box": [round(float(v), 2) for v in box], "score": round(float(score), 4)}))


if __name__ == "__main__":
    main()
