"""Any config's whole job in seconds: a small config and generated data."""
