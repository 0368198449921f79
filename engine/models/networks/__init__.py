"""Networks that read pictures and are run whole."""
