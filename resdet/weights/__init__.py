"""Files of weights, other projects' and ours: read, load, export."""
