"""Files of columns: read, their columns given roles, rows made of them."""
