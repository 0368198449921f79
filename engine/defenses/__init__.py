"""What gives each row of train and poison a weight and a label, without knowing which is which. A kind a file.

seen.py     what a defence is told of a victim's rows, what it makes of them, and which module does a kind's work
oracle.py   random.py       the controls: exactly the poison, rows at random
loss_filter.py   trim.py    by the losses of a fitted model
knn.py                      by the labels of a row's neighbours
spectral.py                 by the hidden states of each class

A defence is a pure function of what it is told; fits and refits belong to the pipeline.
"""
