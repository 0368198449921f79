"""What is said, and how: plain values to words and cells. Pure; no Textual, no store."""
