"""python -m resdet.paper FILE ...: write the tables of Markdown files anew from the rows (markdown.py)."""

import sys
from pathlib import Path

from resdet.paper.markdown import update_file

for name in sys.argv[1:]:
    update_file(Path(name))
