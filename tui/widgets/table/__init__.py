"""An interactive table that paints only what changed."""
