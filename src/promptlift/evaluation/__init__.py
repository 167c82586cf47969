"""Lift, measured: answers, judges, verdicts, statistics, report.

Data flows one way, through files in a run's folder: prompts → rewrites → answers → verdicts → summary → report.
"""
