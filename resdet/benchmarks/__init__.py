"""How fast: a detector stage by stage, training and data paths, each beside torchvision where it has a peer; and how
well a detector learns beside torchvision's."""
