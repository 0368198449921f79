"""scikit-learn's estimators, a kind a module. Each has

estimator    the classifier that a scenario names, not fitted, with this random_state
passes       how many passes over train the fitted one made: boosting rounds, or trees
notes        what a reader must know of how its victims are paired within a trial; they are deviations of every run of the kind
"""
