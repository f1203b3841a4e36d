"""Faster R-CNN with a conv5 RoI head (Sect. 4.3, App. A)."""
