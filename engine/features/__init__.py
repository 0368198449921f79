"""What a model reads of pictures and texts. What is frozen is computed once and kept on disk.

pictures.py    pixels as numbers, or features of a frozen network;  kept.py: their file
texts.py       tokens, or states below the trained layer, and their file;  text_models.py, tokens.py, tokenizer.py
keyed_rows.py  what both files are: rows under a hash each, only ever appended to
opened.py      files of weights, frozen networks and tokenizers, opened once a run
"""
