"""Readers of triplets: of the files that v4e writes and trains on, and of the public corpora that ingest reads."""

from v4e.data.sources.triplets import CorpusPart, RawTriplet, parts, rows

__all__ = ["CorpusPart", "RawTriplet", "parts", "rows"]
