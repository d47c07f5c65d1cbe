"""The meaning of edit instructions, by rules: their task, atomic edits, slots and references."""
