"""Several processes that train one model, joined by torch.distributed: gloo on CPUs, NCCL on GPUs.

Source: torch 2.13, ``torch.distributed``; torchrun's variables: ``torch.distributed.run``.
"""

import os

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from backends.protocol import Place
from common.sockets import listen_at

ENGINES = {"cpu": "gloo", "gpu": "nccl"}
LAUNCHER = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun sets, and whoever starts workers by hand."""


def launched() -> bool:
    """Whether the environment says that a launcher started this process as one of several."""
    return all(name in os.environ for name in LAUNCHER)


def join(place: Place | None, device: str) -> "Workers":
    """Wait for the other workers, at their addresses or where the launcher says."""
    if device == "gpu":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", place.rank if place else 0)))
    if place is not None:
        os.environ |= dict.fromkeys(("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"), "lo")
        host, port = place.addresses[0].rsplit(":", 1)
        where = {"rank": place.rank, "world_size": len(place.addresses)}
    else:
        host, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
        names = {"rank": "RANK", "world_size": "WORLD_SIZE"}
        where = {name: int(os.environ[variable]) for name, variable in names.items()}
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != str(True):  # else torchrun serves it
        # Where the workers tell each other their addresses. The first one serves it; by itself
        # PyTorch would listen on every interface.
        first = where["rank"] == 0
        listening = listen_at(f"{host}:{port}").detach() if first else None
        options = {"is_master": first, "master_listen_fd": listening}
        where["store"] = dist.TCPStore(host, int(port), where["world_size"], **options)
    dist.init_process_group(ENGINES[device], **where)
    return Workers(torch.device("cuda" if device == "gpu" else "cpu"))


class Workers:
    """This process among the others."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def mean(self, tensors: list[Tensor]) -> None:
        """Put the mean over the workers into every tensor; all of them travel as one."""
        together = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(together)
        together /= self.size
        parts = together.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def total(self, array: np.ndarray) -> np.ndarray:
        """The sum over the workers, element by element."""
        tensor = torch.tensor(array, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return tensor.cpu().numpy()

    def leave(self) -> None:
        """Wait until the others leave as well, and part."""
        dist.barrier()
        dist.destroy_process_group()
