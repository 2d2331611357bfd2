"""Training the sandbox model `tiny`."""
