"""Work in any order on a pool: encoding and ingest by Ray Data, edits by actors."""
