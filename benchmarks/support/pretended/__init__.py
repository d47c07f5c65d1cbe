"""A CUDA device that is not there: torch's CPU build runs v4e's GPU path on tensors that have shapes and no numbers.

``device`` makes torch believe in it, ``watch`` counts what happens on it, ``server`` runs functions in processes that
have it. Nothing here was seen on a GPU: it tells of devices, dtypes, bytes, waits and FLOPs, never of numbers or time.
"""
