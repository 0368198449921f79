"""The account of a run's data: what there is, what became of each column, what is odd about it. Data once, words from it once.

data    the account itself: typed, frozen, JSON-able
words   its lines, which the command line, the log, the report and the app all show
"""
