"""Pictures: found in folders and archives, decoded to one size, annotated, measured."""
