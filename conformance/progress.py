"""Progress of long work: a live bar on a terminal, plain lines elsewhere."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TextIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from common.errors import printable

WIDTH_OF_A_PIPE = 180

Item = TypeVar("Item")


class Says(Protocol):
    """What long work needs of whoever shows it."""

    def say(self, line: str) -> None:
        """One finished line."""

    def over(self, what: str, items: Sequence[str]) -> Iterator[str]:
        """Go through items."""
        ...


def let_go(stream: TextIO | None) -> None:
    """Whoever read a pipe has gone, as ``| head -1`` does. What else would be written there goes
    nowhere: the command ends as it would have, and its exit code says what it found."""
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):  # it is no real file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Output(Console):
    """rich's console, which does not end the process with exit code 1, a verdict's, when nobody
    reads any more."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        let_go(sys.stderr if self.stderr else sys.stdout)


def complain(line: str) -> None:
    """One line on standard error, which --quiet does not hide."""
    tell(line, sys.stderr)


def tell(line: str, stream: TextIO | None = None) -> None:
    """One line, as it is but for what would reach a terminal as more than text; on standard output
    if no stream is named."""
    stream = stream or sys.stdout
    try:
        print(printable(line), file=stream, flush=True)
    except BrokenPipeError:
        let_go(stream)


def results_console() -> Console:
    """Where results go: standard output. A pipe or a file has no width of its own; 80 columns
    would squeeze the tables."""
    console = Output(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_A_PIPE
    return console


class Progress:
    """Says what is going on, on standard error, so that standard output holds results only."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Output(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)

    @property
    def unseen(self) -> bool:
        """Whether no bar is shown: nobody looks at a terminal."""
        return not self.console.is_terminal or self.console.quiet

    def say(self, line: str) -> None:
        """One finished line. Nothing in it is read as rich's markup."""
        self.console.print(printable(line), markup=False)

    def over(self, what: str, items: Sequence[Item]) -> Iterator[Item]:
        """Go through items; a terminal sees a bar with the item at hand and the time left."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Bar(
            *columns, TimeRemainingColumn(), console=self.console, transient=True,
            disable=self.unseen,
        ) as bar:  # fmt: skip
            task = bar.add_task(what, total=len(items))
            for item in items:
                bar.update(task, description=f"{what}  {item}".replace("[", "\\["))
                yield item
                bar.advance(task)

    @contextlib.contextmanager
    def training(self, title: str, epochs: int) -> Iterator[Callable[..., None]]:
        """Shows a training run; gives what must be told of every epoch. A terminal sees a bar with
        the time left; elsewhere a line appears for about every tenth epoch."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        unseen, every = self.unseen, max(1, epochs // 10)
        began = time.monotonic()
        first = None
        with Bar(
            *columns, TimeRemainingColumn(), console=self.console, transient=True, disable=unseen
        ) as bar:
            task = bar.add_task(title, total=epochs)

            def seen(epoch: int, perplexity: float, rate: float, digest: str) -> None:
                nonlocal first
                first = epoch - 1 if first is None else first
                numbers = f"perplexity {perplexity:.4g}, {rate:,.0f} tokens/s"
                bar.update(task, completed=epoch, description=f"{title}  {numbers}")
                if unseen and (epoch % every == 0 or epoch == epochs):
                    each = (time.monotonic() - began) / (epoch - first)
                    left = f", {each * (epochs - epoch):.0f} s left" if epoch < epochs else ""
                    line = f"{title}: epoch {epoch} of {epochs}: {numbers}{left}"
                    self.say(f"{line}, digest {digest}" if digest else line)

            yield seen
