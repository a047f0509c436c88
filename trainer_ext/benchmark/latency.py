"""Time forward passes; the models take turns, so that all meet the same conditions."""

from __future__ import annotations

import contextlib
import math
import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from ..report.schema import Latency
from .busy import Watch, undisturbed
from .size import evaluating, forward_flops, input_embeddings, random_inputs

T = TypeVar("T")
_FEWEST_RUNS = 3
_PRECISION = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16", torch.float64: "fp64"}
# Cloud machines hide the model number ("AMD EPYC"): vendor, family and one instruction set identify the core.
_CORES = (
    ("AuthenticAMD", 26, "fpu", "Zen 5"),
    ("AuthenticAMD", 25, "avx512f", "Zen 4"),
    ("AuthenticAMD", 25, "fpu", "Zen 3"),
    ("AuthenticAMD", 23, "fpu", "Zen or Zen 2"),
    ("GenuineIntel", 6, "amx_tile", "Sapphire Rapids or later"),
    ("GenuineIntel", 6, "avx512_vnni", "Cascade Lake or later"),
    ("GenuineIntel", 6, "avx512f", "Skylake or later"),
)


@dataclass(frozen=True)
class LatencyStats:
    """Times of one forward pass; the throughput is in examples per second at the median time."""

    median_ms: float
    p95_ms: float
    throughput_per_s: float
    runs: int


def measure_latency(
    models: Mapping[str, nn.Module],
    *,
    batch_size: int,
    sequence_length: int,
    repeats: int = 30,
    warmup: int = 5,
    seconds_limit: float = 120.0,
    on_step: Callable[[], None] | None = None,
    watch: Watch | None = None,
) -> dict[str, LatencyStats]:
    """Time models that take turns: each round calls every model once, every other round in reverse order.

    Args:
        models: by name. Each runs on its own device, in evaluation mode, in `torch.inference_mode`.
        batch_size: examples per call.
        sequence_length: tokens per example, all attended to.
        repeats: timed rounds, at least 3.
        warmup: untimed rounds before them.
        seconds_limit: no further round starts after this time; 3 timed rounds are always made.
        on_step: called `warmup + repeats` times, also for the rounds that the limit left out.
        watch: says afterwards whether other work disturbed the calls.

    Returns:
        The times by name of the model.

    Raises:
        ValueError: There is no model, or a number is out of range.
    """
    if not models or repeats < _FEWEST_RUNS or warmup < 0 or seconds_limit <= 0:
        raise ValueError(
            f"models={list(models)}, repeats={repeats}, warmup={warmup}, seconds_limit={seconds_limit}: need a model, "
            f"repeats >= {_FEWEST_RUNS}, warmup >= 0 and seconds_limit > 0."
        )
    calls: dict[str, Callable[[int], float]] = {}
    for name, model in models.items():
        inputs = random_inputs(model, batch_size, sequence_length=sequence_length)
        calls[name] = _timed_round(partial(model, **inputs), inputs["input_ids"].device)
    with evaluating(*models.values()), torch.inference_mode():
        times = take_turns(
            calls, repeats=repeats, warmup=warmup, seconds_limit=seconds_limit, on_step=on_step, watch=watch
        )
    return {name: summarise(values, batch_size) for name, values in times.items()}


def _timed_round(call: Callable[[], Any], device: torch.device) -> Callable[[int], float]:
    return lambda _: timed(call, device)


def take_turns(
    calls: Mapping[T, Callable[[int], float]],
    *,
    repeats: int,
    warmup: int,
    seconds_limit: float = math.inf,
    on_step: Callable[[], None] | None = None,
    watch: Watch | None = None,
) -> dict[T, list[float]]:
    """Time calls that take turns: each round makes every call once, every other round in reverse order.

    Args:
        calls: by name. Each gets the number of the round, from `-warmup` on, and returns its time in milliseconds.
        repeats: timed rounds, at least 3.
        warmup: untimed rounds before them.
        seconds_limit: no further round starts after this time; 3 timed rounds are always made.
        on_step: called `warmup + repeats` times, also for the rounds that the limit left out.
        watch: counts what the timed calls cost.

    Returns:
        The milliseconds of the timed rounds, by name.
    """
    times: dict[T, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds_limit
    for index in range(-warmup, repeats):
        if time.perf_counter() <= end or 0 <= index < _FEWEST_RUNS:
            counted = watch if index >= 0 else None
            with counted.watching() if counted else contextlib.nullcontext():
                for name in list(calls) if index % 2 == 0 else reversed(list(calls)):
                    call = partial(calls[name], index)
                    milliseconds = counted.timed(name, call) if counted else call()
                    if index >= 0:
                        times[name].append(milliseconds)
        if on_step is not None:
            on_step()
    return times


def timed(call: Callable[[], Any], device: torch.device) -> float:
    """Return the milliseconds of a call; on CUDA the time between two events, once the device is idle."""
    if device.type != "cuda":
        start = time.perf_counter()
        call()
        return 1000 * (time.perf_counter() - start)
    stream = torch.cuda.current_stream(device)
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    before.record(stream)
    call()
    after.record(stream)
    after.synchronize()
    return before.elapsed_time(after)


def compare_latency(
    baseline: nn.Module,
    compressed: nn.Module,
    *,
    batch_sizes: Iterable[int],
    sequence_length: int,
    repeats: int = 30,
    warmup: int = 5,
    seconds_limit: float = 120.0,
    on_step: Callable[[], None] | None = None,
) -> list[Latency]:
    """Time two models at several batch sizes.

    Args:
        baseline: the model before compression.
        compressed: the model after compression.
        batch_sizes: examples per call.
        sequence_length: tokens per example.
        repeats: timed rounds, at least 3.
        warmup: untimed rounds before them.
        seconds_limit: for each batch size, see `measure_latency`.
        on_step: called `len(batch_sizes) * (warmup + repeats)` times.

    Returns:
        One row of the report per batch size; `speedup` is the ratio of the medians, `ideal_speedup` that of the FLOPs. On
        the CPU a timing that other work disturbs is repeated once; if it is disturbed again, the row says so.
    """
    table = input_embeddings(compressed).weight
    on_cpu = table.device.type == "cpu"
    rows = []
    for batch_size in batch_sizes:

        def attempt(watch: Watch, again: bool, batch_size: int = batch_size) -> dict[str, LatencyStats]:
            return measure_latency(
                {"baseline": baseline, "compressed": compressed},
                batch_size=batch_size,
                sequence_length=sequence_length,
                repeats=repeats,
                warmup=warmup,
                seconds_limit=seconds_limit,
                on_step=None if again else on_step,
                watch=watch,
            )

        stats, watch = undisturbed(attempt, patient=on_cpu)
        busy = watch.is_busy if on_cpu else None
        before, after = stats["baseline"], stats["compressed"]
        flops = [forward_flops(model, batch_size, sequence_length) for model in (baseline, compressed)]
        rows.append(
            Latency(
                runtime="torch",
                precision=_PRECISION.get(table.dtype, str(table.dtype).removeprefix("torch.")),
                device=table.device.type,
                processor=processor_name() if on_cpu else accelerator_name(table.device),
                threads=torch.get_num_threads() if on_cpu else None,
                batch_size=batch_size,
                sequence_length=sequence_length,
                baseline_ms=before.median_ms,
                compressed_ms=after.median_ms,
                baseline_p95_ms=before.p95_ms,
                compressed_p95_ms=after.p95_ms,
                speedup=before.median_ms / after.median_ms,
                ideal_speedup=flops[0] / flops[1] if flops[1] else None,
                runs=after.runs,
                busy=busy,
                cpu_speedup=watch.cpu_speedup("baseline", "compressed") if busy else None,
            )
        )
    return rows


def processor_name() -> str:
    """Return the name of the CPU, with the name of its core if there is no model number."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return describe_processor(text) or platform.processor() or platform.machine() or "unknown processor"


def describe_processor(cpuinfo: str) -> str | None:
    """Return the name of the CPU in the text of `/proc/cpuinfo`; None if there is none."""
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in cpuinfo.splitlines())}
    name = re.sub(r"\s+", " ", re.sub(r"\((R|TM)\)|@.*$", "", fields.get("model name", ""), flags=re.I)).strip()
    if not name or re.search(r"\d", name):
        return name or None
    flags, family = fields.get("flags", "").split(), fields.get("cpu family")
    for vendor, number, flag, core in _CORES:
        if fields.get("vendor_id") == vendor and family == str(number) and flag in flags:
            return f"{name} ({core})"
    return name


def accelerator_name(device: torch.device) -> str:
    """Return the name of a device other than the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def summarise(values: Sequence[float], batch_size: int) -> LatencyStats:
    """Return the statistics of calls.

    Args:
        values: milliseconds of each call.
        batch_size: examples per call.
    """
    median = float(np.median(values))
    return LatencyStats(median, float(np.percentile(values, 95)), 1000 * batch_size / median, len(values))
