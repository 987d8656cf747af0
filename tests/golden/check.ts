/**
 * Comparing values with torch's, counted by row of the exactness table.
 *
 * @module
 */

/** One row of the exactness table: an operation. */
export interface Row {
  /** What it is called in the table. */
  readonly operation: string;
  /** The torch function that the values were recorded from. */
  readonly torch: string;
}

/** Whose rounding a value was computed by; `either` where the families do not differ. */
export type Family = "fbgemm" | "qnnpack" | "either";

/** A value that is not torch's. */
export interface Difference {
  /** Path within the case, such as `ints[3]`, or `ints of NaN` if it is named by its input. */
  readonly path: string;
  /** torch's value, as text. */
  readonly torch: string;
  /** The value here, as text. */
  readonly here: string;
}

/** How many values were compared and how many of them differ. */
export interface Count {
  compared: number;
  differing: number;
}

/** Counts by row and family. */
export class Tally {
  readonly rows: Map<Row, Map<Family, Count>> = new Map();
  /** Sentences about what was measured besides equality, by their subject. */
  readonly notes: Map<string, Measurement> = new Map();
  /** How close torch and this package come to the float result where torch is wrong, by subject. */
  readonly closer: Map<string, Closeness> = new Map();

  of(row: Row, family: Family): Count {
    let families = this.rows.get(row);
    if (families === undefined) this.rows.set(row, families = new Map());
    let count = families.get(family);
    if (count === undefined) families.set(family, count = { compared: 0, differing: 0 });
    return count;
  }

  get compared(): number {
    let sum = 0;
    for (const families of this.rows.values()) {
      for (const { compared } of families.values()) sum += compared;
    }
    return sum;
  }

  measurement(subject: string): Measurement {
    let found = this.notes.get(subject);
    if (found === undefined) this.notes.set(subject, found = new Measurement());
    return found;
  }

  closeness(subject: string): Closeness {
    let found = this.closer.get(subject);
    if (found === undefined) this.closer.set(subject, found = new Closeness());
    return found;
  }
}

/** Errors against a float result, torch's and here, each a case's mean. */
export class Closeness {
  readonly torch: number[] = [];
  readonly here: number[] = [];

  add(torch: number, here: number): void {
    this.torch.push(torch);
    this.here.push(here);
  }
}

/** What was measured where equality is not claimed. */
export class Measurement {
  count = 0;
  /** How many are not equal. */
  unequal = 0;
  /** The largest difference, in the subject's own unit. */
  largest = 0;

  add(difference: number): void {
    this.count++;
    if (difference !== 0) this.unequal++;
    if (!(difference <= this.largest)) this.largest = difference;
  }
}

/** Compares one case's values and keeps what differs. */
export class Check {
  readonly differences: Difference[] = [];
  compared = 0;

  constructor(readonly tally: Tally) {}

  /**
   * Compares integers, or numbers that are exact in double.
   *
   * @param inputs What each value was computed from, to name a difference by.
   */
  integers(
    row: Row,
    family: Family,
    path: string,
    here: ArrayLike<number>,
    torch: ArrayLike<number>,
    inputs?: ArrayLike<number>,
  ): void {
    this.#compare(row, family, path, here, torch, inputs);
  }

  /**
   * Compares float32 values as bits, but for the sign of zero, which golden files need not keep;
   * `inputs` as above.
   */
  floats(
    row: Row,
    family: Family,
    path: string,
    here: ArrayLike<number>,
    torch: ArrayLike<number>,
    inputs?: ArrayLike<number>,
  ): void {
    this.#compare(row, family, path, here, torch, inputs);
  }

  /** Compares one number. */
  one(row: Row, family: Family, path: string, here: number, torch: number): void {
    const count = this.tally.of(row, family);
    this.compared++;
    count.compared++;
    if (here === torch || (here !== here && torch !== torch)) return;
    count.differing++;
    this.differences.push({ path, torch: String(torch), here: String(here) });
  }

  /**
   * Measures float32 values of which torch's own depend on the CPU: no row of the table, but a
   * sentence below it. What differs by more than `tolerance` is a difference.
   *
   * @param smallest Differences are in units of float32's last place at torch's value, or at this
   * where that is smaller.
   */
  measure(
    subject: string,
    path: string,
    here: Float32Array,
    torch: Float32Array,
    { tolerance, smallest }: { readonly tolerance: number; readonly smallest: number },
  ): void {
    if (here.length !== torch.length) {
      this.differs(path, `${torch.length} values`, `${here.length} values`);
      return;
    }
    const measured = this.tally.measurement(subject);
    this.compared += torch.length;
    torch.forEach((value, i) => {
      const exponent = Math.floor(Math.log2(Math.max(Math.abs(value), smallest)));
      const difference = Math.abs(here[i]! - value) / 2 ** (exponent - 23);
      measured.add(difference);
      if (!(difference <= tolerance)) {
        this.differs(`${path}[${i}]`, String(value), String(here[i]));
      }
    });
  }

  /** Notes a difference that is not of a number, such as a refusal. */
  differs(path: string, torch: string, here: string): void {
    this.differences.push({ path, torch, here });
  }

  #compare(
    row: Row,
    family: Family,
    path: string,
    here: ArrayLike<number>,
    torch: ArrayLike<number>,
    inputs?: ArrayLike<number>,
  ): void {
    if (here.length !== torch.length) {
      this.differs(path, `${torch.length} values`, `${here.length} values`);
      return;
    }
    const count = this.tally.of(row, family);
    const { length } = here;
    this.compared += length;
    count.compared += length;
    for (let i = 0; i < length; i++) {
      const a = here[i];
      const b = torch[i];
      if (a === b || (a !== a && b !== b)) continue;
      count.differing++;
      this.differences.push({
        path: inputs === undefined ? `${path}[${i}]` : `${path} of ${inputs[i]}`,
        torch: String(b),
        here: String(a),
      });
    }
  }
}
