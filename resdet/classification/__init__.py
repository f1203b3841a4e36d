"""Image classification (Sect. 3.4, 4.1, 4.2): training, augmentation, ten-crop and dense tests, layer responses."""
