"""Three settings' training in JAX: jit, scan and vmap over replicas, with everything drawn inside the step.

    echo 16 | python benchmarks/jax_step.py ARRAYS.npz hue-deletion

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


def encode(parameters: Any, x: Any) -> Any:
    (w1, b1), (w2, b2), *_ = parameters
    return w2 @ jax.nn.gelu(w1 @ x + b1, approximate=False) + b2


def decode(parameters: Any, z: Any) -> Any:
    *_, (w3, b3), (w4, b4) = parameters
    return w4 @ jax.nn.gelu(w3 @ z + b3, approximate=False) + b4


def normalised(z: Any) -> Any:
    return z / jnp.maximum(jnp.linalg.norm(z, axis=0), 1e-8)


def separate(z: Any, power: int, shift: bool = False) -> Any:
    """Each sample's sum of powers of cosines, [B]."""
    unit = normalised(z)
    cosines = unit.T @ unit
    cosines = jnp.where(cosines > 1 - 1e-5, 0, cosines)
    return jnp.sum(((jnp.maximum(cosines, -1) + 1) / 2 if shift else cosines) ** power, -1)


def labelled(labels: Any, losses: Any) -> Any:
    return jnp.sum(labels * losses) / (jnp.sum(labels) + 1e-8)


def sphere(z: Any) -> Any:
    return (jnp.linalg.norm(z, axis=0) - 1) ** 2


def subspace_ablation(parameters: Any, x: Any, labels: Any) -> Any:
    """The reconstruction error and the terms in the setting's order."""
    red, vibrant = labels["red"], labels["vibrant"]
    z = encode(parameters, x)
    towards = jnp.array([[1.0], [0], [0], [0]])
    return jnp.mean((jax.nn.sigmoid(decode(parameters, z)) - x) ** 2), {
        "separate": jnp.mean(separate(z, 10)),
        "planar": labelled(vibrant, jnp.sum(z[2:] ** 2, 0)),
        "norm": jnp.mean(sphere(z)),
        "norm-v": labelled(vibrant, sphere(z)),
        "polar": labelled(red, jnp.sum((z - towards) ** 2, 0)),
    }


def hue_deletion(parameters: Any, x: Any, labels: Any) -> Any:
    z = normalised(encode(parameters, x))
    return jnp.mean((decode(parameters, z) - x) ** 2), {
        "separate": jnp.mean(separate(z, 100, shift=True)),
        "subspace": labelled(labels["vibrant"], jnp.sum(z[2:] ** 2, 0)),
    }


def hue_open(parameters: Any, x: Any, labels: Any) -> Any:
    vibrant, gray = labels["vibrant"], labels["gray"]
    z = encode(parameters, x)
    without = jax.lax.stop_gradient(z) * jnp.array([[0.0], [0], [1], [1]])
    return jnp.mean((jax.nn.sigmoid(decode(parameters, z)) - x) ** 2), {
        "separate": jnp.mean(separate(z, 30)),
        "wheel": labelled(vibrant, separate(z[:2], 30)),
        "planar": labelled(vibrant, jnp.sum(z[2:] ** 2, 0)),
        "axis": labelled(gray, jnp.sum(z[:2] ** 2, 0)),
        "norm": jnp.mean(sphere(z)),
        "fallback": jnp.mean((jax.nn.sigmoid(decode(parameters, without)) - x) ** 2),
    }


LOSSES = {"subspace-ablation": subspace_ablation, "hue-deletion": hue_deletion, "hue-open": hue_open}


def trainer(name: str, colors: Any, cumulative: Any, labels: Any, lr: Any, weights: Any) -> Any:
    """A function from keys [R] to R trained replicas.

    Args:
        name: one of `LOSSES`.
        colors, cumulative, lr: arrays that `benchmarks.rival` wrote.
        labels: their probabilities, by name.
        weights: the terms' weights [steps], by name.
    """
    order = tuple(weights)

    def loss(parameters: Any, x: Any, drawn: Any, now: Any) -> Any:
        task, terms = LOSSES[name](parameters, x, drawn)
        return task + sum(now[i] * terms[term] for i, term in enumerate(order))

    def step(state: Any, now: Any) -> Any:
        parameters, first, second, key = state
        rate, correction, now_weights = now
        key, drawn = jax.random.split(key)
        u = jax.random.uniform(drawn, (1 + len(labels), BATCH))
        i = jnp.searchsorted(cumulative, u[0], side="right")
        tossed = {label: (u[n] < p[i]).astype(jnp.float32) for n, (label, p) in enumerate(labels.items(), start=1)}
        gradient = jax.grad(loss)(parameters, colors[:, i], tossed, now_weights)
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
        schedule = tuple(
            map(jnp.float32, (lr / (1 - 0.9**t), np.sqrt(1 - 0.999**t), np.column_stack([*weights.values()])))
        )
        return jax.lax.scan(step, (parameters, zeros, zeros, key), schedule)[0][0]

    return jax.jit(jax.vmap(train))


def main() -> None:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    file = np.load(sys.argv[1])
    tables: dict[str, dict[str, Any]] = {"label": {}, "weight": {}}
    for key in file.files:
        kind, dot, rest = key.partition(".")
        if dot:
            tables[kind][rest] = file[key]
    labels = {label: jnp.asarray(p) for label, p in tables["label"].items()}
    colors, cumulative = jnp.asarray(file["colors"]), jnp.asarray(file["cumulative"])
    train = trainer(sys.argv[2], colors, cumulative, labels, file["lr"], tables["weight"])
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
        rate = replicas * len(file["lr"]) / seconds
        print(json.dumps({"replicas": replicas, "seconds": seconds, "replica_steps_per_second": rate}), flush=True)


if __name__ == "__main__":
    main()
