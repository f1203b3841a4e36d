"""Detect objects with an exported detector. Needs numpy, opencv-python and onnxruntime, neither torch nor resdet.

python run_onnx.py detector.onnx photo.jpg [--threshold 0.5] [--out drawn.jpg]
"""

import argparse
import json

import cv2
import numpy as np
import onnxruntime


def resize(image, short, long):
    """Resize [H, W, 3] so that the short side has `short` pixels, less if the long side would exceed `long`."""
    height, width = image.shape[:2]
    factor = short / min(height, width)
    if long is not None:
        factor = min(factor, long / max(height, width))
    size = max(1, round(height * factor)), max(1, round(width * factor))
    if size == (height, width):
        return image
    method = cv2.INTER_AREA if size[0] < height / 2 else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=method)


def detect(session, image):
    """Boxes [D, 4] in the pixels of `image`, uint8 [H, W, 3] RGB; scores [D] and labels [D], by descending score."""
    facts = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    resized = resize(image, facts["short"], facts["long"])
    boxes, scores, labels = session.run(None, {"image": resized})
    scale = [image.shape[1] / resized.shape[1], image.shape[0] / resized.shape[0]] * 2
    return boxes * np.float32(scale), scores, [facts["classes"][k] for k in labels]


def main():
    """Read the arguments, detect, print a line of JSON per object."""
    parser = argparse.ArgumentParser(description="Detect objects with an exported detector.")
    parser.add_argument("model")
    parser.add_argument("photo")
    parser.add_argument("--threshold", type=float, default=0.5, help="lowest score shown (default: %(default)s)")
    parser.add_argument("--out", help="write the photo with its boxes here")
    args = parser.parse_args()
    photo = cv2.imread(args.photo)  # BGR, turned as its EXIF data say
    if photo is None:
        raise SystemExit(f"{args.photo}: no image that OpenCV reads")
    session = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])
    for box, score, name in zip(*detect(session, photo[:, :, ::-1]), strict=True):
        if score < args.threshold:
            continue
        print(json.dumps({"box": [round(float(v), 2) for v in box], "score": round(float(score), 4), "class": name}))
        x1, y1, x2, y2 = (int(v) for v in box)
        cv2.rectangle(photo, (x1, y1), (x2, y2), (0, 0, 255), 2)
        cv2.putText(photo, f"{name} {score:.2f}", (x1, max(12, y1 - 4)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 255))
    if args.out:
        cv2.imwrite(args.out, photo)


if __name__ == "__main__":
    main()
