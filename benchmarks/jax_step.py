"""Subspace ablation's training in JAX: jit, scan and vmap over replicas, with everything drawn inside the step.

    echo 16 | python benchmarks/jax_step.py SETTING.npz

For each line of standard input, which is a number of replicas, it trains that many to the end and prints JSON. Channels
come first and samples last, as in our own layers. With samples first it takes twice as long.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

BATCH = 64
WIDTHS = ((3, 16), (16, 4), (4, 16), (16, 3))


def initialise(key: Any) -> Any:
    """Weights [outputs, inputs] and biases [outputs, 1] as nn.Linear has them."""
    keys = jax.random.split(key, (len(WIDTHS), 2))
    return [
        tuple(
            jax.random.uniform(k, shape, minval=-1, maxval=1) / n**0.5
            for k, shape in zip(ks, ((m, n), (m, 1)), strict=True)
        )
        for ks, (n, m) in zip(keys, WIDTHS, strict=True)
    ]


def loss(parameters: Any, x: Any, red: Any, vibrant: Any, weights: Any) -> Any:
    """The reconstruction error plus the five terms, each times its weight: x [3, B], labels [B], weights [5]."""
    (w1, b1), (w2, b2), (w3, b3), (w4, b4) = parameters
    z = w2 @ jax.nn.gelu(w1 @ x + b1, approximate=False) + b2
    y = jax.nn.sigmoid(w4 @ jax.nn.gelu(w3 @ z + b3, approximate=False) + b4)

    def labelled_mean(labels: Any, losses: Any) -> Any:
        return jnp.sum(labels * losses) / (jnp.sum(labels) + 1e-8)

    length = jnp.linalg.norm(z, axis=0)
    unit = z / jnp.maximum(length, 1e-8)
    cosines = unit.T @ unit
    cosines = jnp.where(cosines > 1 - 1e-5, 0, cosines)
    sphere = (length - 1) ** 2
    terms = (
        jnp.mean(jnp.sum(cosines**10, -1)),  # separate
        labelled_mean(vibrant, jnp.sum(z[2:] ** 2, 0)),  # planar
        jnp.mean(sphere),  # norm
        labelled_mean(vibrant, sphere),  # norm-v
        labelled_mean(red, jnp.sum((z - jnp.array([[1.0], [0], [0], [0]])) ** 2, 0)),  # polar
    )
    return jnp.mean((y - x) ** 2) + sum(w * term for w, term in zip(weights, terms, strict=True))


def trainer(colors: Any, cumulative: Any, red: Any, vibrant: Any, lr: Any, weights: Any) -> Any:
    """A function from keys [R] to R trained replicas. The other arguments are arrays that `benchmarks.rival` wrote."""

    def step(state: Any, now: Any) -> Any:
        parameters, first, second, key = state
        rate, correction, weights = now
        key, drawn = jax.random.split(key)
        u = jax.random.uniform(drawn, (3, BATCH))
        i = jnp.searchsorted(cumulative, u[0], side="right")
        labels = (u[1] < red[i]).astype(jnp.float32), (u[2] < vibrant[i]).astype(jnp.float32)
        gradient = jax.grad(loss)(parameters, colors[:, i], *labels, weights)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        parameters = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v) / correction + 1e-8), parameters, first, second
        )
        return (parameters, first, second, key), None

    def train(key: Any) -> Any:
        parameters = initialise(key)
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        t = np.arange(1, len(lr) + 1)
        schedule = tuple(map(jnp.float32, (lr / (1 - 0.9**t), np.sqrt(1 - 0.999**t), weights)))
        return jax.lax.scan(step, (parameters, zeros, zeros, key), schedule)[0][0]

    return jax.jit(jax.vmap(train))


def main() -> None:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    setting = {name: jnp.asarray(values) for name, values in np.load(sys.argv[1]).items()}
    train = trainer(**setting)
    compiled = set()
    for line in sys.stdin:
        replicas = int(line)
        keys = jax.random.split(jax.random.key(0), replicas)
        if replicas not in compiled:
            jax.block_until_ready(train(keys))
            compiled.add(replicas)
        start = time.perf_counter()
        jax.block_until_ready(train(keys))
        seconds = time.perf_counter() - start
        rate = replicas * len(setting["lr"]) / seconds
        print(json.dumps({"replicas": replicas, "seconds": seconds, "replica_steps_per_second": rate}), flush=True)


if __name__ == "__main__":
    main()
