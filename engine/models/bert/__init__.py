"""BERT: its files, the network, and its last layer as many victims at once."""
