"""Image classification (Sect. 3.4, 4.1, 4.2)."""
