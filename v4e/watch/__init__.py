"""Watching a run: strips of samples while it trains, alarms, trackers, and the curves of its report."""
