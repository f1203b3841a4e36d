"""Dry runs: a shrunken config and generated data run any config's whole job in seconds."""
