"""ImageNet localization data (App. C) and their loading."""
