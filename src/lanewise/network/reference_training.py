"""The plain NumPy meaning of losses and updates, in float64: the evaluate of the kernels that train."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def softmax_cross_entropy(
    logits: npt.ArrayLike, targets: npt.ArrayLike, weights: npt.ArrayLike, label_smoothing: float = 0.0
) -> tuple[Array, Array]:
    """Cross-entropy of softmax(logits) against one class for each image.

    With p = softmax(z), K classes, target t, weight w and smoothing s:

        q[k] = (1 - s) [k = t] + s / K      the share of k instead of [k = t], if shares are given
        loss = - w sum over k of q[k] log p[k]
        d loss / d z[k] = w (p[k] - q[k])

    Parameters
    ----------
    logits : array of shape (n, classes)
    targets : array of shape (n,), or (n, classes)
        Numbers of the classes, whole, from 0; or what each class has a share of in an image, 1 in all.
    weights : array of shape (n,)
        How much each image counts; 0 leaves it out.
    label_smoothing : float
        Label smoothing, Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision".

    Returns
    -------
    losses : array of shape (n,)
        Weighted; add them up and divide by the batch's sum of weights for a mean.
    gradient : array of shape (n, classes)
        d (sum of losses) / d logits.
    """
    z, w = np.asarray(logits, np.float64), np.asarray(weights, np.float64)
    classes = z.shape[1]
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    shares = np.eye(classes)[np.asarray(targets)] if np.ndim(targets) == 1 else np.asarray(targets)
    q = (1 - label_smoothing) * shares + label_smoothing / classes
    return -w * (q * log_p).sum(axis=1), w[:, None] * (np.exp(log_p) - q)


def sigmoid_cross_entropy(
    logits: npt.ArrayLike, targets: npt.ArrayLike, weights: npt.ArrayLike, label_smoothing: float = 0.0
) -> tuple[Array, Array]:
    """Cross-entropy of sigmoid(logits), each output a question of its own, against targets from 0 to 1.

    With p = sigmoid(z), target t, weight w and smoothing s:

        q = (1 - s) t + s / 2
        loss = - w sum over outputs of q log p + (1 - q) log (1 - p)
             = w sum over outputs of max(z, 0) - q z + log(1 + exp(-|z|))
        d loss / d z = w (p - q)

    Parameters
    ----------
    logits : array of shape (n, outputs)
    targets : array of shape (n, outputs), or (n,) for one output
    weights : array of shape (n,)
    label_smoothing : float

    Returns
    -------
    losses : array of shape (n,)
    gradient : array of shape (n, outputs)
        d (sum of losses) / d logits.
    """
    z, w = np.asarray(logits, np.float64), np.asarray(weights, np.float64)
    q = (1 - label_smoothing) * np.asarray(targets, np.float64).reshape(z.shape) + label_smoothing / 2
    small = np.exp(-np.abs(z))
    p = np.where(z >= 0, 1.0, small) / (1 + small)
    losses = w * (np.maximum(z, 0) - q * z + np.log1p(small)).sum(axis=1)
    return losses, w[:, None] * (p - q)


def sgd(
    parameter: npt.ArrayLike,
    gradient: npt.ArrayLike,
    velocity: npt.ArrayLike,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> tuple[Array, Array]:
    """One step of gradient descent with momentum.

        g = gradient + weight_decay * parameter
        velocity = momentum * velocity + g
        step = g + momentum * velocity      with nesterov, else velocity
        parameter = parameter - learning_rate * step

    Nesterov's momentum is that of Sutskever et al. 2013, "On the importance of initialization and momentum in deep
    learning", rewritten for the point where the gradient is taken.

    Parameters
    ----------
    parameter, gradient, velocity : arrays of one shape
        Velocity starts at zero.
    learning_rate : float
    momentum : float
    nesterov : bool
    weight_decay : float
        The caller gives biases none.

    Returns
    -------
    parameter, velocity : float64 arrays
    """
    w, v = np.asarray(parameter, np.float64), np.asarray(velocity, np.float64)
    g = np.asarray(gradient, np.float64) + weight_decay * w
    v = momentum * v + g
    return w - learning_rate * (g + momentum * v if nesterov else v), v


def adamw(
    parameter: npt.ArrayLike,
    gradient: npt.ArrayLike,
    mean: npt.ArrayLike,
    square: npt.ArrayLike,
    step: int,
    *,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Step number `step` of AdamW.

        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        m = mean / (1 - beta1**step),   s = square / (1 - beta2**step)
        parameter = parameter - learning_rate * (m / (sqrt(s) + epsilon) + weight_decay * parameter)

    Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", with the decay multiplied by the learning
    rate, as in common use.

    Parameters
    ----------
    parameter, gradient, mean, square : arrays of one shape
        Mean and square start at zero.
    step : int
        From 1.
    learning_rate, beta1, beta2, epsilon, weight_decay : float

    Returns
    -------
    parameter, mean, square : float64 arrays
    """
    w, g = np.asarray(parameter, np.float64), np.asarray(gradient, np.float64)
    mean = beta1 * np.asarray(mean, np.float64) + (1 - beta1) * g
    square = beta2 * np.asarray(square, np.float64) + (1 - beta2) * g * g
    m, s = mean / (1 - beta1**step), square / (1 - beta2**step)
    return w - learning_rate * (m / (np.sqrt(s) + epsilon) + weight_decay * w), mean, square


def muon(
    parameter: npt.ArrayLike,
    gradient: npt.ArrayLike,
    velocity: npt.ArrayLike,
    *,
    learning_rate: float,
    momentum: float = 0.9,
    nesterov: bool = True,
    weight_decay: float = 0.0,
) -> tuple[Array, Array]:
    """One step of Muon, for a parameter that is a matrix of its first axis and all others.

        velocity = momentum * velocity + gradient
        X = gradient + momentum * velocity      with nesterov, else velocity; divided by its norm
        X = a X + b (X X') X + c (X X')^2 X     five times
        parameter = parameter - learning_rate * (sqrt(max(1, rows / columns)) X + weight_decay * parameter)

    Parameters
    ----------
    parameter, gradient, velocity : arrays of one shape
        Velocity starts at zero.
    learning_rate, momentum : float
    nesterov : bool
    weight_decay : float

    Returns
    -------
    parameter, velocity : float64 arrays
    """
    w, g = np.asarray(parameter, np.float64), np.asarray(gradient, np.float64)
    v = momentum * np.asarray(velocity, np.float64) + g
    x = (g + momentum * v if nesterov else v).reshape(len(w), -1)
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(5):
        squared = x @ x.T
        x = 3.4445 * x + (-4.7750 * squared + 2.0315 * squared @ squared) @ x
    scale = max(1.0, x.shape[0] / x.shape[1]) ** 0.5
    return w - learning_rate * (scale * x.reshape(w.shape) + weight_decay * w), v
