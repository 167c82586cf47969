"""Training: stage 1 of the paper. Needs the extra `train`; the runtime never imports it."""
