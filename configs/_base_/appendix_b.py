"""Appendix B's test: box refinement with voting, and five scales; proposals come from the 600-pixel scale."""

from resdet.detection.refinement import Refinement

refined = dict(refinement=dict(type=Refinement, rounds=1, nms_iou=0.3, voting_iou=0.5))
multiscale = dict(scales=(200, 400, 600, 800, 1000), proposal_scales=(600,), **refined)
