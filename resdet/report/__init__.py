"""Drawn boxes (`drawing`, `sheets`), plots (`curves`, `classifier_plots`, `ablation`), tables and the page of a run.

Functions take arrays and numbers and return pictures and text. Only `nets` imports networks, and only `localization`
a data set.
"""
