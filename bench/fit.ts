/**
 * A line through measured points.
 *
 * @module
 */

/** `y = intercept + slope * x`, and how well it fits. */
export interface Line {
  readonly slope: number;
  readonly intercept: number;
  /** Share of the variance of y that the line explains. */
  readonly rSquared: number;
  /** Largest distance of a point from the line, as a share of the point's y. */
  readonly largestDeviation: number;
}

/**
 * Fits a line by least squares.
 *
 * @param points At least two, of different x.
 */
export function fitLine(points: readonly { readonly x: number; readonly y: number }[]): Line {
  const mean = (of: (point: { x: number; y: number }) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const meanX = mean(({ x }) => x);
  const meanY = mean(({ y }) => y);
  const covariance = mean(({ x, y }) => (x - meanX) * (y - meanY));
  const slope = covariance / mean(({ x }) => (x - meanX) ** 2);
  const intercept = meanY - slope * meanX;
  const residual = ({ x, y }: { x: number; y: number }) => y - intercept - slope * x;
  return {
    slope,
    intercept,
    rSquared: 1 - mean((point) => residual(point) ** 2) / mean(({ y }) => (y - meanY) ** 2),
    largestDeviation: points.reduce(
      (max, point) => Math.max(max, Math.abs(residual(point) / point.y)),
      0,
    ),
  };
}
