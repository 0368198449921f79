"""A look at data without training: the process beside the app, its answers, contact sheets."""
