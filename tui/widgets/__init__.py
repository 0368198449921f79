"""The app's own widgets: each knows how to show one thing and nothing of the engine."""
