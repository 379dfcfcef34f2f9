"""Every tolerance of the tests that compare numbers, by quantity, with the error that was measured when it was set.

All are absolute. The sides are float32 in a framework and float64 in NumPy, or float32 in two frameworks. Measured on
Linux x86-64 with the versions of constraints.txt: the largest over all kinds, layers and directions, in the
backend that was furthest off, which is named. A tolerance is three to seven times what was measured.
"""

from d2lrnn.weights.canonical import KINDS

FINITE_DIFFERENCE = 4e-9  # measured 1.0e-9 (with ReLU)
LOGITS = 5e-6  # measured 1.6e-6 (TensorFlow), of logits up to 4
STATE = 3e-6  # measured 8.4e-7 (TensorFlow)
LOSS = 6e-6  # measured 1.7e-6 (MXNet), of 3.5 nats
# The states of the network with ReLU have no bound, and its gradients are eight times as large as the largest others
NORM = dict.fromkeys(KINDS, 2e-6) | {"rnn-relu": 4e-5}  # measured 7.4e-7 and 8.2e-6 (MXNet)
GRADIENT = dict.fromkeys(KINDS, 5e-7) | {"rnn-relu": 8e-6}  # measured 1.7e-7 and 1.9e-6 (MXNet)
TRANSLATION = 1e-5  # relative, of a perplexity and of a gradient's norm
# Relative, after two steps of Adam, which the frameworks write in two forms: what keeps it from dividing by zero is
# added before or after it is made up that the moments began at zero
TRANSLATION_AFTER_STEPS = 1e-2

# Over many steps the errors of the first ones grow, the faster the less a gate holds them back.
WEIGHTS_AFTER_AN_EPOCH = {
    "torch": 3e-7,  # measured 7e-8
    "mxnet": 2e-5,  # measured 4.9e-6
    "tensorflow": 5e-7,  # measured 1.6e-7
    "numpy": 1e-15,  # the reference is it
}
LOSSES_OVER_50_STEPS = {
    ("torch", "rnn-scratch"): 2e-6,  # measured 5.4e-7
    ("torch", "rnn"): 1e-5,  # measured 3.0e-6
    ("torch", "rnn-relu"): 2e-5,  # measured 4.4e-6
    ("torch", "gru"): 2e-6,  # measured 4.2e-7
    ("torch", "lstm"): 2e-6,  # measured 4.4e-7
    ("mxnet", "rnn-scratch"): 1e-5,  # measured 3.2e-6
    ("mxnet", "rnn"): 2e-3,  # measured 6.6e-4: its loss and gradients are three times as far off from the start
    ("mxnet", "rnn-relu"): 6e-2,  # measured 1.7e-2, of losses up to 11: it learns by leaps
    ("mxnet", "gru"): 6e-6,  # measured 1.5e-6
    ("mxnet", "lstm"): 1e-5,  # measured 2.8e-6
    ("tensorflow", "rnn-scratch"): 2e-6,  # measured 2.9e-7
    ("tensorflow", "rnn"): 4e-5,  # measured 1.0e-5
    ("tensorflow", "rnn-relu"): 2e-5,  # measured 3.3e-6
    ("tensorflow", "gru"): 2e-6,  # measured 4.2e-7
    ("tensorflow", "gru-reset-before"): 2e-6,  # measured 2.5e-7
    ("tensorflow", "lstm"): 2e-6,  # measured 3.8e-7
} | {
    ("numpy", kind): 1e-13 for kind in KINDS
}  # the reference is it; the two forms of the scratch model differ by 2e-15

# Between two frameworks
# Relative, at every epoch of twenty; measured 1.3e-2 with ReLU (MXNet and TensorFlow)
PERPLEXITY_AFTER_TRAINING = dict.fromkeys(KINDS, 0.01) | {"rnn-relu": 0.05}
SNIPPET = 1e-5  # absolute, of a snippet's result; measured 3.3e-6 (a cross-entropy in MXNet), of values up to 6
EDITION_1_WEIGHTS = 6e-6  # after one step of edition 1.0's trainer at learning rate 2; measured 1.4e-6 (MXNet)
