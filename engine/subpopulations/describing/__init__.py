"""What a subpopulation is, in words: its levels, its twins among other annotations."""
