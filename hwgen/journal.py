"""Progress on the screen, a log and ``time_per_step.json`` on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hwgen.files import to_json, write_bytes

console = Console(stderr=True, highlight=False)


class Journal:
    """Names the steps of a long job as they run and keeps the time each took."""

    def __init__(self, log: Path, total: int, *, title: str) -> None:
        self.log, self.title = log, title
        self.seconds: dict[str, float] = {}
        self.lines: list[str] = []
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(title, total=total)

    @contextmanager
    def running(self) -> Iterator[Journal]:
        """Show the bar; write the log even if a step fails."""
        try:
            with self._progress:
                yield self
        finally:
            if self.log.parent.is_dir():
                write_bytes(self.log, "\n".join([*self.lines, ""]).encode())

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run one step."""
        self._progress.update(self._task, description=f"{self.title}: {name}")
        self.lines.append(f"step {name}")
        start = time.monotonic()
        try:
            yield
        except BaseException as error:
            self.lines.append(f"  failed: {type(error).__name__}: {error}")
            raise
        took = time.monotonic() - start
        self.seconds[name] = round(took, 3)
        self.lines.append(f"  done in {took:.2f} s")
        self._progress.advance(self._task)

    def detail(self, text: str) -> None:
        """What a step is doing right now: on the bar and in the log."""
        self._progress.update(self._task, description=f"{self.title}: {text}")
        self.lines.append(f"  {text}")

    def say(self, text: str) -> None:
        """Tell the user something to keep, above the bar and in the log."""
        self._progress.console.print(text, markup=False)
        self.lines.append(f"  {text}")

    def save_times(self, path: Path) -> None:
        """Write seconds by step."""
        write_bytes(path, to_json(self.seconds))
