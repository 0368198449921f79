"""From a scenario's model and rows to trained victims and what they predict."""
