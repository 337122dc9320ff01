"""Progress of long work: a live bar on a terminal, plain lines elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from common.errors import printable

WIDTH_OF_A_PIPE = 180


def results_console() -> Console:
    """Where results go: standard output. A pipe or a file has no width of its own; 80 columns
    would squeeze the tables."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_A_PIPE
    return console


class Progress:
    """Says what is going on, on standard error, so that standard output holds results only."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """One finished line. Nothing in it is read as rich's markup."""
        self.console.print(printable(line), markup=False)

    def over(self, what: str, items: Sequence[str]) -> Iterator[str]:
        """Go through items; a terminal sees a bar with the item at hand and the time left."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        unseen = not self.console.is_terminal or self.console.quiet
        with Bar(
            *columns, TimeRemainingColumn(), console=self.console, transient=True, disable=unseen
        ) as bar:
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
        unseen = not self.console.is_terminal or self.console.quiet
        every = max(1, epochs // 10)
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
