"""From a scenario's model and rows to trained victims and what they predict. A family is how victims are trained, one a file.

family.py      what every family can do;  choose.py: which one a scenario's model is of
dense.py       rows of numbers, many victims as one tensor program
networks.py    networks of pictures and texts that run whole
encoders.py    last layers over outputs of frozen ones
estimators.py  scikit-learn's
by_gradient.py what the first three share
"""
