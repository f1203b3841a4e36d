"""A classifier's run: build, train, evaluate."""
