"""Pairs: made with any LLM, imported, checked, split (stage 0, before `train`).

generate       seeds or topics to pairs, through an LLM that also criticises itself
preferences    (prompt, better answer, worse answer) to pairs
imports        what people have: CSV, JSONL, BPO's, DSPy's, Hugging Face datasets
check          what is wrong with a set, row by row and in sum
report         the same as a page with plots
parts          train, validation and test, by clusters of near-duplicates
templates/     every prompt that the LLM is sent, one file each
"""
