"""Networks (Sect. 3): resnet.py, frozen batch normalization, preprocessing, weights by origin."""
