"""ImageNet's localization data (App. C) and how they are fed."""
