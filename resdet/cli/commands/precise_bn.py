"""Run precise-bn: compute a classifier's BN statistics over its training set."""

from __future__ import annotations

import argparse

from resdet.cli.common.config import nets_of, print_config
from resdet.cli.common.output import write_json
from resdet.cli.common.run import run_options
from resdet.engine.checkpoint import read_checkpoint, save_checkpoint
from resdet.engine.config_text import config_text
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.nets.precise_bn import PreciseBN
from resdet.recipes.classification.build import build_data, load_classifier
from resdet.recipes.classification.evaluate import test_classifier
from resdet.recipes.classification.precise_bn import compute_precise_bn
from resdet.weights.read import read_weights


def run(args: argparse.Namespace) -> None:
    """Print the errors before and after, and write the new checkpoint."""
    print_config(args, [args.checkpoint])
    started = start_run(args.out.parent, run_options(args), log="precise_bn")
    cfg, _ = nets_of(args, [args.checkpoint])[0]
    data = build_data(cfg)
    classifier = load_classifier(cfg, data, args.checkpoint).to(started.device)
    before = test_classifier(classifier, data, started, images=0).figures()
    count = compute_precise_bn(PreciseBN(args.images, args.by_layer), classifier, data, started)
    after = test_classifier(classifier, data, started, images=0).figures()
    if not is_main_process():
        return
    for name in before:
        print(f"{name.removeprefix('test/')}: {before[name]:.2f} before, {after[name]:.2f} with {count:,} images")
    own = read_weights(args.checkpoint).origin == "resdet"
    facts = (
        read_checkpoint(args.checkpoint) if own else {"config": config_text(cfg), "classes": list(data.test.classes)}
    )
    facts |= {"model": classifier.state_dict(), "stride_on": classifier.net.stride_on, "precise_bn": count}
    save_checkpoint(args.out, facts)
    write_json(args.json, {"before": before, "after": after, "images": count})
