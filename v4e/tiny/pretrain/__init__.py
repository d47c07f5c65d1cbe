"""Pretraining of the tiny Wan family on generic evolution clips, from nothing to weights in ``v4e/assets``."""
