"""A progress bar for work that takes longer than two seconds."""

from collections.abc import Callable

from tqdm import tqdm


def progress_bar(what: str) -> Callable[[int, int], None]:
    """A function to be told the number of things done and of all things.

    Args:
        what: the things, for the bar. It appears on standard error after two
            seconds and goes when all are done.
    """
    bar: tqdm | None = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=total, desc=what, delay=2, leave=False)
        bar.update(done - bar.n)
        if done == total:
            bar.close()
            bar = None

    return show
