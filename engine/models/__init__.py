"""Victim models. A model knows how to start, run and be stacked; how it is trained is `engine/training/`.

build.py     the model that a scenario names, its frozen part, its weights
weights.py   files of weights, checked and read
dense/       rows of numbers: MLP and logistic regression
networks/    networks run whole: conv, VGG, torchvision's
bert/        BERT, read from its own files
estimators/  scikit-learn's, for tables
encoders/    text encoders by their files, with a last layer on top
"""
