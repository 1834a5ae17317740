"""Files of others as they are: held to their headers first; those of a torchvision root, scikit-learn's photographs."""
