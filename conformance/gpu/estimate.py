"""How long a stage takes, before there is a GPU: from counts of what it does.

A process takes its starts, the programs that XLA compiles, and for every step what launching its
kernels takes. The device, which all processes of a stage share, takes the longer of running the
kernels and of the products. A stage takes as long as its longest process, as the device, or as all
processes on the cores.

START and PROGRAM are what a first machine (an H200) took; the others are assumptions. There, beside
another process, eager code took some 18e-6 s a launch, and XLA half of LAUNCH.
"""

from common.parameters import GATES
from common.spec import ModelSpec
from conformance.gpu.plan import Plan, Process, Stage

START = 15.0
"""Seconds to import a framework from a cold disk and to make a context on the device."""
PROGRAM, LARGE_PROGRAM = 0.7, 8.0
"""Seconds to compile: a program of a small case without choosing among kernels by trying them; one
of D2L's sizes with it."""
CORES = 15
"""Of such a machine, less one for members."""
LAUNCH, KERNEL = 8e-6, 3e-6
"""Seconds of the processor to launch a kernel, op by op with autograd, and of the device to run one
that is small."""
RATES = {
    "float64": 2.0e13,
    "float32": 2.5e13,
    "tf32": 1.0e14,
    "stacked": 2.0e13,
}
"""Operations per second that such products reach: a third of what the largest ones do; stacked ones
are float32, and small."""


def operations(spec: ModelSpec) -> int:
    """Multiplications and additions of matrix products for one token, forward and backward, which
    has two products for each one of the forward pass; a one-hot input counts as any other."""
    gates = len(GATES[spec.cell])
    inner = 0
    for layer, _ in spec.passes:
        h, H = spec.units(layer), spec.size_of("H", layer)
        inner += gates * h * (spec.inputs_of(layer) + H) + (h * H if spec.p else 0)
    return 3 * 2 * (inner + spec.width * spec.q)


def host_seconds(process: Process) -> float:
    """What a process takes if the device never keeps it waiting."""
    work = process.work
    compiled = work.get("programs", 0) * PROGRAM + work.get("large_programs", 0) * LARGE_PROGRAM
    launched = work.get("steps", 0) * work.get("launches", 0) * LAUNCH
    return (1 + work.get("starts", 0)) * START + compiled + launched


def device_seconds(process: Process) -> float:
    """What the device computes for a process."""
    work = process.work
    products = work.get("operations", 0.0) / RATES[work.get("dtype", "float32")]
    return work.get("steps", 0) * max(work.get("launches", 0) * KERNEL, products)


def seconds(stage: Stage) -> float:
    longest = max(max(host_seconds(p), START + device_seconds(p)) for p in stage.processes)
    device = START + sum(map(device_seconds, stage.processes))
    return max(longest, device, sum(map(host_seconds, stage.processes)) / CORES)


def calls(plan: Plan) -> list[list[Stage]]:
    """Which stages fit into each call, in the order of worth; the last list is what is cut."""
    left, found = list(plan.stages), []
    for allowed in plan.calls:
        inside: list[Stage] = []
        while left and ended([*inside, left[0]]) <= allowed:
            inside.append(left.pop(0))
        found.append(inside)
    return [*found, left]


def ended(stages: list[Stage]) -> float:
    """Seconds after which the last of some stages has ended that begin one after another; those
    that go on beside the others take none of theirs."""
    now, beside = 0.0, 0.0
    for stage in stages:
        if stage.alone:
            now = max(now, beside)
        if stage.beside:
            beside = max(beside, now + seconds(stage))
        else:
            now += seconds(stage)
    return max(now, beside)
