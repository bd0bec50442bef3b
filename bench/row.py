"""What a benchmark row is: who is compared, and how far apart they may be."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measured run.

    Attributes:
        seconds: How long it took; of many equal things, how long each.
        size_bytes: What each took up on the disk, where a row is about that.
        calls: SOAP calls on the wire by method, as the simulator counted them.
        note: What a reader has to know (``24 measured, times 100/24``).
    """

    seconds: float
    size_bytes: float | None = None
    calls: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One side of a comparison; ``run`` measures it once, on fresh ground each time."""

    name: str
    run: Callable[[], Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound on the median of ``of`` divided by the median of ``to``.

    ``more_seconds`` bounds the difference of the two instead; ``sizes`` compares what they
    take up, not how long they take.
    """

    of: str
    to: str
    at_most: float | None = None
    at_least: float | None = None
    more_seconds: float | None = None
    sizes: bool = False

    def holds(self, ratio: float) -> bool:
        """Say whether a ratio, or a difference in seconds, is within the bound."""
        if self.more_seconds is not None:
            return ratio <= self.more_seconds
        if self.at_most is not None and ratio > self.at_most:
            return False
        return self.at_least is None or ratio >= self.at_least

    def __str__(self) -> str:
        if self.more_seconds is not None:
            return f"at most {self.more_seconds:g} s more"
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return f"at least {self.at_least:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A bound on what one contender takes by itself, in the median of its runs.

    Attributes:
        of: The contender.
        seconds: It takes at most so long.
        size_bytes: It takes up at most so much.
        why: What the bound comes from, if it is not plain.
    """

    of: str
    seconds: float | None = None
    size_bytes: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a row's function returns.

    Attributes:
        contenders: Who runs.
        targets: How far apart two of them may be.
        limits: What one of them may take by itself.
        notes: What a reader has to know of the whole row, a line each.
        repeat: Runs of each contender, where the row wants other than the usual number.
    """

    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...] = ()
    limits: tuple[Limit, ...] = ()
    notes: tuple[str, ...] = ()
    repeat: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the person who runs the benchmarks chose.

    Attributes:
        repeat: Runs of each contender.
        quick: Measure slow peers on a part of the work, and scale.
    """

    repeat: int = 3
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class Result:
    """The samples of one row."""

    name: str
    title: str
    samples: Mapping[str, list[Sample]]
    targets: tuple[Target, ...] = ()
    limits: tuple[Limit, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def medians(self) -> dict[str, float]:
        """Seconds, by contender."""
        return {name: median(s.seconds for s in runs) for name, runs in self.samples.items()}

    @cached_property
    def sizes(self) -> dict[str, float]:
        """Bytes, by contender; without those that have no size."""
        found = {name: _known(s.size_bytes for s in runs) for name, runs in self.samples.items()}
        return {name: median(sizes) for name, sizes in found.items() if sizes}

    def holds(self, limit: Limit) -> bool:
        """Say whether a contender is within its bound."""
        if limit.seconds is not None and self.medians[limit.of] > limit.seconds:
            return False
        return limit.size_bytes is None or self.sizes[limit.of] <= limit.size_bytes

    def ratio(self, target: Target) -> float:
        """Return the ratio, or the difference in seconds, that a target is about."""
        if target.more_seconds is not None:
            return self.medians[target.of] - self.medians[target.to]
        if target.sizes:
            return self.sizes[target.of] / self.sizes[target.to]
        return self.medians[target.of] / self.medians[target.to]


def _known(sizes: Iterable[float | None]) -> list[float]:
    return [size for size in sizes if size is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A named benchmark; ``prepare`` returns its comparison."""

    name: str
    title: str
    prepare: Callable[[Options], Comparison]

    def measure(self, options: Options) -> Result:
        """Run the contenders in turns, so that what else the machine does hits all alike."""
        comparison = self.prepare(options)
        samples: dict[str, list[Sample]] = {c.name: [] for c in comparison.contenders}
        turn = list(comparison.contenders)
        for _ in range(1 if options.quick else comparison.repeat or options.repeat):
            for contender in turn:
                samples[contender.name].append(contender.run())
            turn.append(turn.pop(0))
        return Result(
            name=self.name,
            title=self.title,
            samples=samples,
            targets=comparison.targets,
            limits=comparison.limits,
            notes=comparison.notes,
        )


ROWS: dict[str, Row] = {}
"""All rows by name; the modules of ``bench.rows`` fill it when they are imported."""


def row(
    name: str, title: str
) -> Callable[[Callable[[Options], Comparison]], Callable[[Options], Comparison]]:
    """Register a function as a row."""

    def register(prepare: Callable[[Options], Comparison]) -> Callable[[Options], Comparison]:
        ROWS[name] = Row(name=name, title=title, prepare=prepare)
        return prepare

    return register
