"""One screen a file: the modes (plan, subpopulations, runs, results) and the dialogs pushed over them."""
