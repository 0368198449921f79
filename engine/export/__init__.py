"""Tables to documents: csv, json, parquet, md, tex; a report; a verdict. A headless export and the screen's are byte-identical."""
