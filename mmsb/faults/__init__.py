"""A server that misbehaves on purpose: what real endpoints do, to be met before they do it."""
