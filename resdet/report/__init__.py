"""Drawn boxes (`drawing`), plots (`curves`, `errors`), tables (`tables`) and the page of a run (`page`).

Functions take arrays and numbers and return pictures and text. Only `nets` imports networks, and only `localization`
a data set.
"""
