"""Runs as they go on, in the browser."""
