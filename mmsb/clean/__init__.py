"""Removing what dead runs left."""
