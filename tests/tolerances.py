"""Every tolerance of the tests that compare numbers, by quantity, with the error that was measured when it was set.

All are absolute. The sides are float32 in a framework and float64 in NumPy, or float32 in two frameworks. Measured on
Linux x86-64 with the versions of constraints.txt: the largest over all kinds, layers and directions, in the
backend that was furthest off, which is named. A tolerance is three to seven times what was measured.
"""

FINITE_DIFFERENCE = 2e-9  # measured 6e-10
LOGITS = 5e-6  # measured 1.6e-6 (TensorFlow), of logits up to 4
STATE = 3e-6  # measured 8.4e-7 (TensorFlow)
LOSS = 6e-6  # measured 1.7e-6 (MXNet), of 3.5 nats
NORM = 2e-6  # measured 4.5e-7 (MXNet)
GRADIENT = 5e-7  # measured 1.5e-7 (MXNet)

# Over many steps the errors of the first ones grow, the faster the less a gate holds them back.
WEIGHTS_AFTER_AN_EPOCH = {
    "torch": 3e-7,  # measured 7e-8
    "mxnet": 2e-5,  # measured 4.9e-6
    "tensorflow": 5e-7,  # measured 1.6e-7
}
LOSSES_OVER_50_STEPS = {
    ("torch", "rnn-scratch"): 2e-6,  # measured 5.4e-7
    ("torch", "rnn"): 1e-5,  # measured 3.0e-6
    ("torch", "gru"): 2e-6,  # measured 4.2e-7
    ("torch", "lstm"): 2e-6,  # measured 4.4e-7
    ("mxnet", "rnn-scratch"): 1e-5,  # measured 3.2e-6
    ("mxnet", "rnn"): 2e-3,  # measured 6.6e-4: its loss and gradients are three times as far off from the start
    ("mxnet", "gru"): 6e-6,  # measured 1.5e-6
    ("mxnet", "lstm"): 1e-5,  # measured 2.8e-6
    ("tensorflow", "rnn-scratch"): 2e-6,  # measured 2.9e-7
    ("tensorflow", "rnn"): 4e-5,  # measured 1.0e-5
    ("tensorflow", "gru"): 2e-6,  # measured 4.2e-7
    ("tensorflow", "lstm"): 2e-6,  # measured 3.8e-7
}

# Between two frameworks
PERPLEXITY_AFTER_TRAINING = 0.01  # relative
SNIPPET = 1e-5  # absolute, of a snippet's result; measured 3.3e-6 (a cross-entropy in MXNet), of values up to 6
