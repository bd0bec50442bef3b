"""Shows results: to people as a table, to programs as JSON."""

from collections.abc import Iterable, Mapping, Sequence

from bench.row import Limit, Result, Sample
from linkedclone.model.values.sizes import render_size

_READS = ("RetrieveProperties", "RetrievePropertiesEx", "ContinueRetrievePropertiesEx")


def render_result(result: Result) -> str:
    """Return one row as lines of plain text, a blank line last."""
    width = max(len(name) for name in result.samples)
    lines = [f"{result.name}: {result.title}"]
    for name, samples in result.samples.items():
        figures = f"  {name:{width}}  {_seconds(result.medians[name]):>9}"
        if result.sizes:
            size = render_size(round(result.sizes[name])) if name in result.sizes else "-"
            figures += f"  {size:>9}"
        lines.append(f"{figures}  {_describe(samples)}".rstrip())
    for target in result.targets:
        ratio = result.ratio(target)
        between = "/" if target.more_seconds is None else "-"
        figure = f"{ratio:.2f}" if target.more_seconds is None else f"{ratio:+.2f} s"
        lines.append(
            f"  {target.of} {between} {target.to}: {figure}, {target}: "
            f"{_verdict(target.holds(ratio))}"
        )
    lines.extend(
        f"  {_render_limit(result, limit)}: {_verdict(result.holds(limit))}"
        for limit in result.limits
    )
    return "\n".join([*lines, *(f"  {note}" for note in result.notes), ""])


def _verdict(holds: bool) -> str:  # noqa: FBT001 - the one thing it is about
    return "pass" if holds else "MISS"


def _render_limit(result: Result, limit: Limit) -> str:
    parts = []
    if limit.seconds is not None:
        parts.append(f"{_seconds(result.medians[limit.of])}, at most {_seconds(limit.seconds)}")
    if limit.size_bytes is not None:
        taken, allowed = round(result.sizes[limit.of]), round(limit.size_bytes)
        parts.append(f"{render_size(taken)}, at most {render_size(allowed)}")
    why = f" ({limit.why})" if limit.why else ""
    return f"{limit.of}: {'; '.join(parts)}{why}"


def _seconds(seconds: float) -> str:
    if seconds < 0.01:
        return f"{seconds * 1000:.2f} ms"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _describe(samples: Sequence[Sample]) -> str:
    times = sorted(sample.seconds for sample in samples)
    last = samples[-1]
    parts = [f"{_seconds(times[0])} to {_seconds(times[-1])}, {len(times)} runs"] * (len(times) > 1)
    parts += [_describe_calls(last.calls)] if last.calls else []
    parts += [last.note] if last.note else []
    return "; ".join(parts)


def _describe_calls(calls: Mapping[str, int]) -> str:
    clones = calls.get("CloneVM_Task", 0)
    reads = sum(calls.get(method, 0) for method in _READS)
    others = sum(calls.values()) - clones - reads
    return f"{sum(calls.values())} calls: {clones} clones, {reads} reads, {others} others"


def build_document(results: Iterable[Result]) -> dict[str, object]:
    """Return the results as plain data."""
    return {"rows": [_build_row(result) for result in results]}


def _build_row(result: Result) -> dict[str, object]:
    return {
        "name": result.name,
        "title": result.title,
        "contenders": [
            {
                "name": name,
                "median_seconds": round(result.medians[name], 6),
                "seconds": [round(sample.seconds, 6) for sample in samples],
                "median_bytes": round(result.sizes[name]) if name in result.sizes else None,
                "calls": dict(samples[-1].calls),
                "note": samples[-1].note,
            }
            for name, samples in result.samples.items()
        ],
        "targets": [
            {
                "of": target.of,
                "to": target.to,
                "ratio": round(result.ratio(target), 3),
                "at_most": target.at_most,
                "at_least": target.at_least,
                "more_seconds": target.more_seconds,
                "pass": target.holds(result.ratio(target)),
            }
            for target in result.targets
        ],
        "limits": [
            {
                "of": limit.of,
                "seconds": limit.seconds,
                "bytes": limit.size_bytes,
                "pass": result.holds(limit),
            }
            for limit in result.limits
        ],
        "notes": list(result.notes),
    }
