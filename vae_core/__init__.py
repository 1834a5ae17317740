"""The science of the suite: data, likelihoods, networks, training and evaluation.

Importable alone; it never imports `bench`.
"""
