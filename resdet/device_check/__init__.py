"""`resdet check-gpu`: whether everything that resdet does works on this machine's GPU, and with what figures.

check.py says what a check is, checks.py lists them, running.py runs them, report.py writes what they found.
"""
