"""Tables to documents: csv, json, parquet, md, tex; a report; a verdict. A headless export and the screen's are byte-identical."""

FORMATS = ("csv", "parquet", "json", "md", "tex")  # of a table; formats.py has what writes each
