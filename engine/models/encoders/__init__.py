"""Text encoders of transformers, built from their own configuration."""
