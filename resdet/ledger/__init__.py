"""The ledger of measurements: one JSON file each, written by commands with --record, and the page made of them."""
