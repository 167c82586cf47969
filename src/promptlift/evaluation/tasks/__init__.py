"""Answers scored by rule and not by a judge: summaries (ROUGE), multiple choice, IFEval; raw against rewritten prompts.

`paired` asks and sums up, the same for each; a task says only what is asked and how an answer is scored.
"""
