"""What several test files share: paths, small datasets and configs, nets, and ways to run the commands."""
