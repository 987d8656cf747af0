/**
 * Timing of calls.
 *
 * @module
 */

/** What a series of calls took. */
export interface Timing {
  /** Median of a call, in microseconds. */
  readonly micros: number;
  /** 99th percentile of a call, in microseconds. */
  readonly p99: number;
  readonly calls: number;
}

/** The value below which a fraction of the (sorted) values lies. */
export function quantile(sorted: ArrayLike<number>, fraction: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))]!;
}

/** The median of some numbers. */
export function median(values: Iterable<number>): number {
  return quantile(Float64Array.from(values).sort(), 0.5);
}

const samples = new Float64Array(1 << 16);

/** Fewest calls of a series, however slow. */
const MIN_CALLS = 5;

/**
 * Times single calls, one after the other, for some milliseconds, after some without. A timer's own
 * cost (under 0.1 microseconds) is part of every call of every peer.
 *
 * @param warmUp Milliseconds that are not timed; a fifth as many where nothing is said.
 */
export async function measure(
  call: () => unknown,
  milliseconds: number,
  warmUp: number = milliseconds / 5,
): Promise<Timing> {
  // A promise is awaited only where the peer gives one, so that no other pays for it.
  const pending = call();
  const asynchronous = pending instanceof Promise;
  if (asynchronous) await pending;
  for (
    const end = performance.now() + warmUp;
    performance.now() < end;
  ) {
    if (asynchronous) await call();
    else call();
  }
  const start = performance.now();
  let count = 0;
  for (
    let end = start;
    count < samples.length && (end - start < milliseconds || count < MIN_CALLS);
    count++
  ) {
    const begin = performance.now();
    if (asynchronous) await call();
    else call();
    end = performance.now();
    samples[count] = (end - begin) * 1000;
  }
  const sorted = samples.subarray(0, count).sort();
  return { micros: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), calls: count };
}
