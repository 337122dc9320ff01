"""The slow twin: EQUATIONS.md once more, one number at a time.

Lists, indices and loops; no matrix, no vectorised operation, and not a line shared with
backends/numpy. The gradients are not written out at all: a tape (tape.py) derives them from the
forward equations, so BPTT-1 to BPTT-12 and LEN-5 are checked against what does not know
them.

An array is a nested list, indexed as in EQUATIONS.md but counting from 0.
"""

import numpy as np

from tests.reference.tape import Value, differentiate, exp, library, log, relu, sigmoid, tanh

ACTIVATIONS = {"tanh": tanh, "relu": relu, "sigmoid": sigmoid, "identity": lambda a: a}


def nested(array, wrap=lambda number: number):
    """A NumPy array as nested lists of its own kind of number, each one wrapped."""
    if np.ndim(array) == 0:
        return wrap(array.item())
    return [nested(part, wrap) for part in array]


def gradient_of(values):
    """The array of gradients of nested lists of Values."""
    if isinstance(values, Value):
        return values.gradient
    return np.array([gradient_of(part) for part in values])


def add_up(terms):
    total = 0
    for term in terms:
        total = total + term
    return total


def add_lists(lists):
    """One list after another."""
    return [number for one in lists for number in one]


def product(row, W, j):
    """Element j of a row times a matrix."""
    return add_up(row[i] * W[i][j] for i in range(len(row)))


class Stack:
    """The forward equations, for parameters given as nested lists under canonical names.

    ``params`` and ``state`` may hold bare numbers or Values. ``trace`` is filled by ``run``.
    """

    def __init__(self, spec, params, state):
        self.spec, self.params = spec, params
        self.state = {part: list(layers) for part, layers in state.items()}
        self.trace = {}

    def run(self, X, lengths=None, dropout=None):
        """O for inputs X, the state moving on (STACK-1, OUT-1); each example for its own steps."""
        self.lengths = lengths or [len(X)] * len(X[0])
        T, D = len(X), self.spec.directions
        self.trace = {part: [[None] * D * self.spec.L for _ in X] for part in self.state}
        for layer in range(self.spec.L):
            for t in range(T):  # BI-1
                self.step(layer, layer * D, f"layer{layer + 1}.", t, X[t])
            for t in reversed(range(T)) if D == 2 else ():  # BI-2
                self.step(layer, layer * D + 1, f"layer{layer + 1}.backward.", t, X[t])
            h = self.size("H", layer)
            X = [
                [
                    add_lists(rows[layer * D + way][k][:h] for way in range(D))
                    for k in range(len(X[0]))
                ]
                for rows in self.trace["H"]
            ]  # BI-3
            if dropout and layer < self.spec.L - 1:
                mask = dropout.masks[layer]
                X = [
                    [
                        [H * (float(mask[t][k][j]) / (1 - dropout.rate)) for j, H in enumerate(row)]
                        for k, row in enumerate(rows)
                    ]
                    for t, rows in enumerate(X)
                ]  # DROP-1
        nothing = [0.0] * self.spec.q
        return [
            [self.row_of_outputs(H) if t < self.lengths[k] else nothing for k, H in enumerate(X_t)]
            for t, X_t in enumerate(X)
        ]  # LEN-3

    def size(self, part, layer):
        """How many numbers of a row of the state are the layer's own; zeros are behind them."""
        if part == "H" and self.spec.p:
            return self.spec.p
        return self.spec.sizes[layer] if self.spec.sizes else self.spec.h

    def step(self, layer, row, prefix, t, X_t):
        """One direction of a layer reads step t."""
        self.prefix = prefix
        own = [k for k in range(len(X_t)) if t < self.lengths[k]]  # LEN-1, LEN-2
        for k in own:
            before = {
                part: rows[row][k][: self.size(part, layer)] for part, rows in self.state.items()
            }
            for part, values in self.cell(layer, X_t[k], before).items():
                missing = len(self.state[part][row][k]) - len(values)
                self.state[part][row] = list(self.state[part][row])
                self.state[part][row][k] = values + [0.0] * missing
        for part, rows in self.state.items():
            nothing = [0.0] * len(rows[row][0])
            self.trace[part][t][row] = [
                rows[row][k] if k in own else nothing for k in range(len(X_t))
            ]  # LEN-3

    def cell(self, layer, x, state):
        """One layer, one step, one example: the new state."""
        H, units = state["H"], range(self.spec.sizes[layer] if self.spec.sizes else self.spec.h)

        def p(name):
            return self.params[f"{self.prefix}{name}"]

        def gate(g, j):
            return product(x, p(f"W_x{g}"), j) + product(H, p(f"W_h{g}"), j) + p(f"b_{g}")[j]

        if self.spec.cell == "rnn":  # RNN-1
            phi = ACTIVATIONS[self.spec.activations[layer]]
            return {"H": [phi(gate("h", j)) for j in units]}

        if self.spec.cell == "gru":
            z = [sigmoid(gate("z", j)) for j in units]  # GRU-1
            r = [sigmoid(gate("r", j)) for j in units]  # GRU-2
            candidate = []
            for j in units:
                inner = product(x, p("W_xh"), j)
                if self.spec.reset == "after":  # GRU-3a
                    inner = inner + p("b_xh")[j]
                    inner = inner + r[j] * (product(H, p("W_hh"), j) + p("b_hh")[j])
                else:  # GRU-3b
                    reset = [r[m] * H[m] for m in units]
                    inner = inner + product(reset, p("W_hh"), j) + p("b_h")[j]
                candidate.append(tanh(inner))
            return {"H": [z[j] * H[j] + (1 - z[j]) * candidate[j] for j in units]}  # GRU-4

        def peephole(g, j, C):
            return p(f"P_{g}")[j] * C if self.spec.peepholes else 0

        C = state["C"]
        new_C, new_H = [], []
        for j in units:
            i = sigmoid(self.clip(gate("i", j) + peephole("i", j, C[j])))  # LSTM-1, LSTM-8
            f = sigmoid(self.clip(gate("f", j) + peephole("f", j, C[j])))  # LSTM-2, LSTM-9
            candidate = tanh(self.clip(gate("c", j)))  # LSTM-4
            new_C.append(f * C[j] + i * candidate)  # LSTM-5
            o = sigmoid(self.clip(gate("o", j) + peephole("o", j, new_C[j])))  # LSTM-3, LSTM-10
            new_H.append(o * tanh(new_C[j]))  # LSTM-6
        if self.spec.p:  # LSTM-7
            new_H = [product(new_H, p("W_hp"), j) for j in range(self.spec.p)]
        return {"H": new_H, "C": new_C}

    def clip(self, a):
        """LSTM-11; a threshold has no gradient"""
        kappa = self.spec.gate_clip
        number = a.number if isinstance(a, Value) else a
        if kappa is None or abs(number.real) <= kappa:
            return a
        return number * 0 + (kappa if number.real > 0 else -kappa)

    def row_of_outputs(self, H):
        W, b = self.params["output.W_hq"], self.params["output.b_q"]
        return [product(H, W, j) + b[j] for j in range(self.spec.q)]  # OUT-1


def loss_of(O, Y, lengths=None):
    """LOSS-1, LEN-4; O and Y as nested lists."""
    n = len(O[0])
    lengths = lengths or [len(O)] * n
    total = 0
    for k in range(n):
        for t in range(lengths[k]):
            total = total + log(add_up(exp(score) for score in O[t][k])) - O[t][k][Y[t][k]]
    return total / sum(lengths)


def forward(spec, params, X, state, lengths=None, dropout=None):
    """O, the last state and the trace as arrays; all arguments NumPy arrays of one dtype."""
    stack = Stack(spec, *({name: nested(a) for name, a in d.items()} for d in (params, state)))
    O = np.array(stack.run(nested(X), lengths, dropout))
    last = {part: np.array(layers) for part, layers in stack.state.items()}
    return O, last, {part: np.array(steps) for part, steps in stack.trace.items()}


def loss_and_gradients(spec, params, X, Y, state, lengths=None, dropout=None):
    """The loss, and the gradients by every parameter, by X, H0 and C0, as arrays."""
    leaves = {name: nested(array, Value) for name, array in params.items()}
    leaves["X"] = nested(X, Value)
    starts = {part: nested(array, Value) for part, array in state.items()}
    O = Stack(spec, leaves, starts).run(leaves["X"], lengths, dropout)
    loss = loss_of(O, nested(Y), lengths)
    differentiate(loss)
    leaves |= {f"{part}0": values for part, values in starts.items()}
    return loss.number, {name: gradient_of(values) for name, values in leaves.items()}


def train(spec, params, minibatches, state, learning_rate, theta):
    """SGD over (X, Y) pairs, the state carried over as a constant.

    Yields after each step: the loss, the norm, the clipped gradients and the parameters.
    """
    for X, Y in minibatches:
        loss, gradients = loss_and_gradients(spec, params, X, Y, state)
        _, state, _ = forward(spec, params, X, state)
        numbers = [g for name in params for g in gradients[name].ravel().tolist()]
        squares = add_up(g * g for g in numbers)
        norm = library(squares).sqrt(squares)  # CLIP-1
        scale = theta / norm if norm > theta else 1  # CLIP-2
        clipped = {name: gradients[name] * scale for name in params}
        params = {name: params[name] - learning_rate * clipped[name] for name in params}  # SGD-1
        yield loss, norm, clipped, params
