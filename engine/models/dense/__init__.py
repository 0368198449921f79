"""Dense layers over rows of numbers, and many victims of them as one tensor program."""
