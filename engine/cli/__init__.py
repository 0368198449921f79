"""The command line: one file a group of commands. Thin: words into calls, errors into one message and an exit status."""
