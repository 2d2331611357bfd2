"""What makes the files that the project ships: in no wheel."""
