"""Readers of triplets: of the files that v4e writes and trains on, and of the public corpora that ingest reads."""

from v4e.data.sources.triplets import Part, RawTriplet, parts, rows

__all__ = ["Part", "RawTriplet", "parts", "rows"]
