"""Publish a trained detector on the Hugging Face Hub: predict, eval-voc ... take hf://owner/name then.

The weights, the preprocessing, the class names and the config of the training, with the paths of its data, become the
file model.safetensors of the repository, which is made if it does not exist. A README.md is added where there is none.
Needs the package huggingface_hub (pip install 'resdet[hub]') and a login: 'hf auth login', or HF_TOKEN.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.shared import add_config_options

MESSAGE = "Upload a detector of resdet"
EXAMPLES = """
  resdet push runs/mine/last.pth owner/name
  resdet push runs/mine/last.pth owner/name --private --message "500 more photographs"
  resdet predict hf://owner/name photos/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of push."""
    parser.add_argument("checkpoint", help="a detector's checkpoint, or its .safetensors file")
    parser.add_argument("repo", help="the repository: owner/name")
    parser.add_argument("--private", action="store_true", help="make a repository that its owner alone can see")
    parser.add_argument("--message", default=MESSAGE, help="what has changed (default: %(default)s)")
    parser.add_argument("--config", help="its config, for weights that keep none (default: the checkpoint's)")
    add_config_options(parser)
