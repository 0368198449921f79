"""scikit-learn's estimators, a kind a module. Each has

estimator    the classifier that a scenario names, not fitted, with this random_state
passes       how many boosting rounds or trees a fitted one has: what `epochs` says of its victims
deviations   what every number of its victims must be read with, on each screen and in each export
notes        what the log says of how they are trained
"""
