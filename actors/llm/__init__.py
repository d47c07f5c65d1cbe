"""Language models on vLLM: the pool of captioners and the judges."""
