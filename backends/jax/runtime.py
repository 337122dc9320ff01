"""Device, arrays in and out, precision, and the passport."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from common.errors import BadInput
from common.spec import ModelSpec

try:
    import flax
    import optax
    from flax import nnx
except ModuleNotFoundError:  # JAX alone computes the equations
    flax = nnx = optax = None

# Without it every float64 that is handed in becomes a float32, with no more than a warning. Each
# array says what it is, and a float32 model stays one.
jax.config.update("jax_enable_x64", True)

DTYPES = {"float32": jnp.float32, "float64": jnp.float64}
SHORT = {"bfloat16": jnp.bfloat16, "float16": jnp.float16}
"""NumPy has no bfloat16: arrays that go in or out of these are float32, which holds all numbers of
both."""

TIERS = {
    "tf32": "float32 arrays; TF32 in products of such a model",
    "mixed": "float32 weights; bfloat16 products, and Flax's layers in bfloat16",
}
"""What float32 arrays are computed in otherwise; every array that goes in or out is float32. A CPU
has no TF32."""

SMALL = 24
"""No size of a small net is above it: the cases of the ladder but those at D2L's sizes."""

FOR_SMALL = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""How XLA compiles a small net: LLVM does not optimise, and a program is made in one piece.
Measured on a case of a two-layer LSTM, it takes a third of the defaults' processor time."""

FULL, TF32 = "highest", "tensorfloat32"
"""JAX's names of precisions: all bits of a product's factors, and 10 of them."""


def find_device(name: str, dtype: str = "float32") -> jax.Device:
    """ "cpu" or "gpu" as a JAX device; BadInput if JAX finds no GPU on this machine, or if it takes
    one to compute in this dtype."""
    # JAX's default on a GPU is TF32. Part of the key of what is compiled, so it may change.
    jax.config.update("jax_default_matmul_precision", FULL)
    if name == "cpu" and dtype == "tf32":
        raise BadInput("jax", dtype, "device gpu", name)
    try:
        return jax.local_devices(backend=name)[0]
    except RuntimeError:
        raise BadInput("jax", "device", f"a {name.upper()} that JAX can use", "none") from None


@contextmanager
def tf32() -> Iterator[None]:
    """TF32 is on within, and as it was before afterwards: no other model can meet it."""
    with jax.default_matmul_precision(TF32):
        yield


def tf32_is_on() -> bool:
    return jax.config.jax_default_matmul_precision == TF32


class Bfloat16Factor:
    """A weight matrix W, float32, whose products X W are made in bfloat16: both factors are rounded
    to it, and what comes out is float32 again.

    bfloat16 has the exponents of float32: small gradients do not underflow, and the loss needs no
    scaling.
    """

    def __init__(self, W: jax.Array) -> None:
        self.W = W.astype(jnp.bfloat16)

    def __rmatmul__(self, X: jax.Array) -> jax.Array:
        return (X.astype(jnp.bfloat16) @ self.W).astype(X.dtype)


def read_as_factor(value: jax.Array) -> jax.Array | Bfloat16Factor:
    """A parameter of the equations: a matrix is a factor of products, a bias is not."""
    return Bfloat16Factor(value) if value.ndim == 2 else value


def tanh(a: jax.Array) -> jax.Array:
    """tanh(a); in float32 it is rounded from float64.

    XLA's own float32 tanh is on average 0.9 units in the last place too small near 0, and what is
    too small at every step of a training run does not average out: tanh-of-float32-too-small in
    conformance/verdict/deviations.toml.
    """
    return rounded_tanh(a) if a.dtype == jnp.float32 else jnp.tanh(a)


@jax.custom_jvp
def rounded_tanh(a: jax.Array) -> jax.Array:
    """float32 → float32"""
    return jnp.tanh(a.astype(jnp.float64)).astype(jnp.float32)


@rounded_tanh.defjvp
def slope(at: tuple[jax.Array], by: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """tanh' = 1 − tanh². JAX's own rule would keep a float64 of every step for the way back."""
    y = rounded_tanh(*at)
    return y, by[0] * (1 - y * y)


def compiler(spec: ModelSpec, device: jax.Device) -> dict[str, Any]:
    """Options of jax.jit for a net: few for a small one on a CPU, whose compiling takes a thousand
    times as long as it computes. Flags that the environment sets are left as they are."""
    return of_small(device.platform) if small(spec) else {}


def small(spec: ModelSpec) -> bool:
    return max(spec.d, spec.h, spec.q) <= SMALL


def of_small(platform: str) -> dict[str, Any]:
    """The same for whatever is small."""
    given = os.environ.get("XLA_FLAGS", "")
    options = {flag: value for flag, value in for_small().items() if flag not in given}
    return {"compiler_options": options} if options and platform == "cpu" else {}


def shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a tensor or two. Within a program it is a part of it; outside it is one of its
    own, which all tensors of these shapes share, whichever net they belong to."""

    @cache
    def program(platform: str) -> Callable[..., Any]:
        return jax.jit(function, **of_small(platform))

    @wraps(function)
    def call(*given: Any) -> Any:
        if isinstance(given[0], jax.core.Tracer):
            return function(*given)
        return program(given[0].device.platform)(*given)

    return call


@cache
def for_small() -> dict[str, Any]:
    """What this XLA knows of FOR_SMALL: a later one (JAX 0.11) has the fusion emitters always, and
    refuses the option."""

    def known(flag: str) -> bool:
        cpu = jax.local_devices(backend="cpu")[0]
        try:
            made = jax.jit(lambda: jnp.zeros(()), compiler_options={flag: FOR_SMALL[flag]})
            with jax.default_device(cpu):
                made.lower().compile()
        except jax.errors.JaxRuntimeError as error:
            if "No such compile option" not in str(error):
                raise
            return False
        return True

    return {flag: value for flag, value in FOR_SMALL.items() if known(flag)}


SPENT = {"programs": 0, "seconds": 0.0}
"""On compiling, since JAX was imported here."""


def count_compiled(event: str, seconds: float, **_: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        SPENT["programs"] += 1
        SPENT["seconds"] += seconds


jax.monitoring.register_event_duration_secs_listener(count_compiled)


def compiled() -> dict[str, float]:
    """How many programs were compiled, or read from JAX's cache, and the seconds it took."""
    return dict(SPENT)


def to_array(array: jax.Array) -> np.ndarray:
    """A copy: on a CPU NumPy would be lent the array's own memory, which a later step is given."""
    return np.array(array, "float32" if array.dtype in SHORT.values() else array.dtype)


def small_layer(cell: type, dtype: jnp.dtype) -> Any:
    """Only its shapes are wanted: Flax's own draw of the weights is many programs."""
    return nnx.RNN(cell(2, 3, param_dtype=dtype, dtype=dtype, rngs=nnx.Rngs(0)))


def kernel_path(device: jax.Device) -> dict[str, str]:
    """What XLA made of Flax's layers: the loops, products and library calls of the compiled
    program, per cell and dtype."""
    if nnx is None:
        return {"equations": "Flax is not installed: the equations only"}
    paths = {}
    for cell in (nnx.SimpleCell, nnx.GRUCell, nnx.OptimizedLSTMCell):
        for name, dtype in DTYPES.items():
            graph, weights = nnx.split(nnx.eval_shape(partial(small_layer, cell, dtype)))
            X = jax.device_put(jnp.zeros((1, 2, 2), dtype), device)
            made = jax.jit(lambda w, X, graph=graph: nnx.merge(graph, w)(X)).lower(weights, X)
            text = made.compile().as_text()
            known = ("while", "dot", "custom-call", "fusion")
            found = [f"{op} × {count}" for op in known if (count := text.count(f" {op}("))]
            paths[f"{cell.__name__} {name}"] = ", ".join(found) or "no loop and no product"
    return paths


def product_rate(device: str, dtype: str, n: int = 4096, times: int = 20) -> float:
    """Multiplications and additions per second in products of two (n, n) matrices; dtype may be
    "tf32"."""
    place = find_device(device, dtype)
    kept = "float32" if dtype in TIERS else dtype
    A = jax.device_put(np.random.RandomState(0).rand(n, n).astype(kept), place)
    precision = TF32 if dtype == "tf32" else FULL
    multiply = jax.jit(lambda A, B: jnp.matmul(A, B, precision=precision))
    multiply(A, A).block_until_ready()
    began, B = time.perf_counter(), A
    for _ in range(times):
        B = multiply(A, A)
    B.block_until_ready()
    return 2 * n**3 * times / (time.perf_counter() - began)


def threads() -> int:
    """How many threads XLA computes with on a CPU: what this variable says when the first array is
    made, else one for every core that the process may use."""
    return int(os.environ.get("PJRT_NPROC", len(os.sched_getaffinity(0))))


def passport(device: str) -> dict[str, Any]:
    found = find_device(device)
    gpu = found.platform == "gpu"
    return {
        "framework": "jax",
        "version": jax.__version__,
        "jaxlib": jax.lib.__version__,
        "flax": flax.__version__ if flax else "not installed",
        "device": found.device_kind if gpu else platform.processor() or "cpu",
        "threads": threads(),
        "platform version": found.client.platform_version,
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", "not set"),
        "mode": "jax.jit; what a case asks about a minibatch is one program, and of sizes up to "
        f"{SMALL} one for each layer and pass, shared by all nets that have such a layer, and one "
        "for its update, of all tensors in one vector, which else goes tensor by tensor; a step of "
        "a training run is one program",
        "compiler options": {} if gpu else {f"sizes up to {SMALL}": for_small(), "others": {}},
        "float64": jax.config.jax_enable_x64,
        "matrix products": jax.config.jax_default_matmul_precision,
        "NVIDIA_TF32_OVERRIDE": os.environ.get("NVIDIA_TF32_OVERRIDE", "not set"),
        "tiers": TIERS if gpu else {},
        "kernel path": kernel_path(found),
    }
