"""Pictures of localization: true boxes (dashed), the guess (solid), and their IoU.

picture = draw_guess(image, true_boxes, guess, label, guessed, classes)
for name, pictures in guess_pictures(dataset, guesses).items():          # "worst", "best"
    save_image(f"{name}.jpg", guess_sheet(pictures))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resdet.data.classification.imagenet import first_synonym
from resdet.data.localization.dataset import LocalizationDataset
from resdet.metrics.localization_error import Guesses, best_overlaps
from resdet.report.canvas import Image
from resdet.report.drawing import draw_detections, draw_truth, legible_scale
from resdet.report.sheets import contact_sheet, titled

PICTURES, COLUMNS, CELL = 12, 4, 320  # pictures per sheet and per row; width of one in pixels


def guess_pictures(dataset: LocalizationDataset, guesses: Guesses) -> dict[str, list[tuple[str, Image]]]:
    """Draw the images whose best guess of the right class has the lowest and the highest IoU.

    Args:
        dataset: the images; those without boxes are left out.
        guesses: of every image, in the data set's order.

    Returns:
        Captions (IoU and image id) and pictures of the "worst" and "best"; empty if no image has a box.
    """
    truth = dataset.truth()
    overlap = np.where(guesses.labels == truth.labels[:, None], best_overlaps(guesses, truth), -1.0)  # [N, T]
    chosen, best = overlap.argmax(1), overlap.max(1)  # if no guess has the right class, the first one
    known = np.unique(truth.image)
    order = known[np.argsort(best[known], kind="stable")]
    names = [first_synonym(name) for name in dataset.names]
    return {
        name: [_picture(dataset, guesses, i, chosen[i], best[i], names) for i in part]
        for name, part in (("worst", order[:PICTURES]), ("best", order[::-1][:PICTURES]))
        if len(part)
    }


def guess_sheet(pictures: Sequence[tuple[str, Image]]) -> Image:
    """Pictures in a grid, with their captions above them."""
    return contact_sheet([titled(picture, caption, CELL) for caption, picture in pictures], COLUMNS, CELL)


def draw_guess(
    image: Image, true_boxes: np.ndarray, guess: np.ndarray, label: int, guessed: int, classes: Sequence[str]
) -> Image:
    """Draw an image's true boxes (dashed) and one guess.

    Args:
        image: uint8 [H, W, 3], RGB.
        true_boxes: [G, 4] in pixels of `image`.
        guess: [4] in pixels of `image`.
        label: of the true boxes.
        guessed: label of the guess.
        classes: names, by label.
    """
    scale = legible_scale(*image.shape[:2])
    drawn = draw_truth(image, true_boxes, np.full(len(true_boxes), label), classes, scale=scale)
    return draw_detections(drawn, guess[None] * scale, np.array([guessed]), None, classes, scale=1)


def _picture(
    dataset: LocalizationDataset, guesses: Guesses, index: int, chosen: int, overlap: float, names: Sequence[str]
) -> tuple[str, Image]:
    item, label, guessed = dataset[index], int(dataset.labels[index]), int(guesses.labels[index, chosen])
    smaller = np.tile(np.array(item.image.shape[1::-1]) / item.size[::-1], 2)  # reduced on reading
    guess = guesses.boxes[index, chosen] * smaller
    if guessed < 0:
        truth = draw_truth(item.image, item.boxes, np.full(len(item.boxes), label), names)
        return f"no guess  {dataset.ids[index]}", truth
    drawn = draw_guess(item.image, item.boxes, guess, label, guessed, names)
    says = f"IoU {overlap:.2f}" if overlap >= 0 else "another class"
    return f"{says}  {dataset.ids[index]}", drawn
