"""The HTTP API: OpenAI's image edits, our jobs, results, health, metrics, and the page."""
