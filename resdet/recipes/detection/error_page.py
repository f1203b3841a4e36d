"""The page of `resdet errors`, and the tables that it shares with the page of a run.

page = error_page([report], pictures, command, environment(run))
write_page(folder / "errors.html", page)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resdet.metrics.error_kinds import KINDS, MISSED
from resdet.recipes.detection.error_analysis import BACKGROUND, TITLES, ErrorReport, class_rows
from resdet.recipes.detection.error_pictures import KIND_COLOURS
from resdet.report.canvas import Image
from resdet.report.curves import precision_recall_plot
from resdet.report.page import (
    BarTable,
    ConfusionMatrix,
    Gallery,
    NumberTable,
    RunPage,
    confusion_part,
)
from resdet.report.score_curves import score_plot
from resdet.report.tables import format_percent

_MEANINGS = {
    "classification": "right place, wrong class",
    "localization": "right class, badly placed",
    "both": "wrong class and badly placed",
    "duplicate": "the object is found already",
    "background": "no object is there",
    MISSED: "no detection is there",
}
_GROUPS = {
    "small": "AP, below 32 x 32 pixels", "medium": "AP, to 96 x 96 pixels", "large": "AP, above",
    "crowded": "AP, overlap an object of their class", "single": "AP, all others",
}  # fmt: skip


def error_page(
    reports: Sequence[ErrorReport],
    pictures: Sequence[tuple[str, float, Image]],
    command: str,
    environment: Mapping[str, str],
) -> RunPage:
    """The page of an error analysis.

    Args:
        reports: of the detector; others, with which it is compared, have only the costs of their errors.
        pictures: of `worst_pictures`.
        command: the command line.
        environment: device and versions by name.
    """
    report = reports[0]
    score = f"score of {report.score:g} or more"
    errors = report.errors
    return RunPage(
        title=f"Errors of {report.name}",
        subtitle=f"{report.num_images:,} test images, {len(report.classes):,} classes; IoU 0.5",
        command=command,
        figures=[
            ("mAP@.5", format_percent(errors.mean_ap()), "by TIDE's rule, 101 recalls"),
            ("false positives cost", format_percent(errors.cost_of_false_positives()), "mAP"),
            ("false negatives cost", format_percent(errors.cost_of_false_negatives()), "mAP"),
            *((f"{name} objects", format_percent(ap), _GROUPS[name]) for name, ap in report.groups.items()),
        ],
        bars=[cost_table(one, one.name if len(reports) > 1 else "") for one in reports],
        tables=[NumberTable("By class", ["class", *TITLES], class_rows(report), f"in percent, {score}")],
        confusion=confusion_of(report),
        curves=[
            ("Precision, recall and F1 by score", score_plot(report.curves, report.classes)),
            ("Precision and recall", precision_recall_plot(report.curves, report.classes, "")),
        ],
        galleries=[
            Gallery(
                "The images that cost most",
                [(f"{image_id}: costs {100 * cost:.2f} % mAP", picture) for image_id, cost, picture in pictures],
                f"truth (dashed) and detections with a {score}, in the colours of the errors' bars; green is right",
            )
        ],
        environment=dict(environment),
    )


def cost_table(report: ErrorReport, name: str = "") -> BarTable:
    """The mAP that each kind of error costs, and the number of errors.

    Args:
        report: the errors.
        name: of the detector, for the title.
    """
    costs, counts = report.errors.costs(), report.errors.counts()
    rows = [(f"{kind}: {_MEANINGS[kind]}", costs[kind], counts[kind]) for kind in (*KINDS, MISSED)]
    title = "mAP that errors cost" + (f": {name}" if name else "")
    mean_ap = format_percent(report.errors.mean_ap())
    note = f"gain without these errors, in percent; by TIDE's rule (101 recalls) mAP@.5 is {mean_ap}"
    colours = [KIND_COLOURS[kind] for kind in (*KINDS, MISSED)]
    return BarTable(rows, title, note, "error", "mAP", "number", max(*costs.values(), 0.01), colours)


def confusion_of(report: ErrorReport) -> ConfusionMatrix | NumberTable:
    """The confusion matrix at the report's score; of many classes the most frequent confusions of two classes."""
    note = f"detections with a score of {report.score:g} or more, IoU 0.5"
    return confusion_part([*report.classes, BACKGROUND], report.confusion, note, background=True)
