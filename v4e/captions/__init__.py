"""Evolution captions: proposed by a language model, checked, or filled from Table 1's templates."""
