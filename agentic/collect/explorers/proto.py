"""ProtoRL: prototypes that spread over the visited states, and entropy among their neighbours."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from agentic.collect.entropy import nearest
from agentic.collect.explorers.explorer import Explorer, Transitions
from agentic.methods.networks import MLP, Network, Optimized, Parameters, descend, optimized, unit


def sinkhorn(scores_BxM: jax.Array, iterations: int = 3) -> jax.Array:
    """Return soft assignments [B, M]: rows sum to one, and all columns get equal shares.

    This is Sinkhorn-Knopp on exp(scores), which scales columns and rows in turn (Cuturi 2013;
    Yarats et al. 2021, arXiv 2102.11271, section 3.1). It works in logarithms, so nothing
    underflows.
    """
    log_q = scores_BxM
    for _ in range(iterations):
        log_q = log_q - jax.nn.logsumexp(log_q, axis=0, keepdims=True)
        log_q = log_q - jax.nn.logsumexp(log_q, axis=1, keepdims=True)
    return jnp.exp(log_q)


class Prototypes(nnx.Module):
    """An embedding of states, a predicting projection, and M prototypes."""

    def __init__(self, observation_size, width, features, count, rngs):
        self.embedding = MLP((observation_size, width, features), rngs, trunk=True)
        self.projector = MLP((features, width, features), rngs)
        self.prototypes = nnx.Linear(features, count, use_bias=False, rngs=rngs)

    def embed(self, observations: jax.Array) -> jax.Array:
        """Return unit embeddings: [B, O] -> [B, F]."""
        return unit(self.embedding(observations))

    def scores(self, embedded: jax.Array) -> jax.Array:
        """Return cosines with every prototype: [B, F] -> [B, M]."""
        return embedded @ unit(self.prototypes.kernel[...].T).T


class ProtoState(NamedTuple):
    """The networks, the slow target of the embedding, and the queue [K, F] of candidates."""

    networks: Optimized
    target: Parameters
    queue: jax.Array


@dataclass(frozen=True)
class Proto(Explorer):
    """The reward is the distance to the k-th nearest state of a queue that prototypes fill evenly:

        r(s') = |z - NN_k(z)|,  z = embedding of s'
        loss  = -mean_B sum_M q_t log softmax(p.z_hat / tau),  q = Sinkhorn of the target's scores

    Yarats et al. 2021, arXiv 2102.11271, sections 3.1 and 3.2. At each update every prototype puts
    one state of the batch into the queue, drawn by the softmax of its scores. As in URLB, the
    temperature is 0.1, k = 3, the queue holds four batches of candidates, there are three Sinkhorn
    iterations, and the target's rate is 0.05. URLB has 512 prototypes of 128 features and embeds
    states by one linear layer.
    """

    prototypes: int = 128
    features: int = 64
    temperature: float = 0.1
    neighbours: int = 3
    queue: int = 512
    target_rate: float = 0.05

    @cached_property
    def network(self) -> Network:
        sizes = (self.observation_size, self.width, self.features, self.prototypes)
        return Network(lambda rngs: Prototypes(*sizes, rngs))

    def init(self, generator: np.random.Generator) -> ProtoState:
        parameters = self.network.init(generator)
        # Empty places of the queue hold a far point, which is never among the nearest neighbours.
        queue = jnp.zeros((self.queue, self.features)).at[:, 0].set(10.0)
        target = jax.tree.map(jnp.copy, parameters["embedding"])
        return ProtoState(optimized(parameters, self.learning_rate), target, queue)

    def intrinsic_reward(self, state: ProtoState, transitions: Transitions) -> jax.Array:
        embedded = self.network.bind(state.networks.parameters).embed(transitions.next_observations)
        return nearest(embedded, state.queue, self.neighbours)[:, -1]

    def update(self, state: ProtoState, transitions: Transitions, key: jax.Array):
        def loss(parameters: Parameters) -> jax.Array:
            slow = self.network.bind({**parameters, "embedding": state.target})
            fast = self.network.bind(parameters)
            scores = slow.scores(slow.embed(transitions.next_observations))
            assigned = sinkhorn(jax.lax.stop_gradient(scores) / self.temperature)
            predicted = unit(fast.projector(fast.embed(transitions.observations)))
            log_p = jax.nn.log_softmax(fast.scores(predicted) / self.temperature)
            return -(assigned * log_p).sum(axis=-1).mean()

        networks, value = descend(state.networks, self.learning_rate, loss)
        target = optax.incremental_update(
            networks.parameters["embedding"], state.target, self.target_rate
        )
        return ProtoState(
            networks, target, self._enqueue(state.queue, networks, transitions, key)
        ), {"prototype_loss": value}

    def _enqueue(self, queue, networks, transitions, key) -> jax.Array:
        """Return the queue with a candidate of each prototype in place of the oldest states."""
        model = self.network.bind(networks.parameters)
        embedded = model.embed(transitions.next_observations)
        drawn = jax.random.categorical(key, model.scores(embedded).T, axis=-1)
        return jnp.concatenate([queue, embedded[drawn]])[-self.queue :]
