"""What screens ask of the engine and the disk: feeds of the store, the preview process, devices, settings."""
