/**
 * Running ends of time. Each keeps its output, one row a sequence, from call to call, so that
 * chunks give the same result as the whole sequence. A row without steps keeps its value. The last
 * slot of the program holds these rows, and "fresh" marks first steps.
 *
 * @module
 */
import type { ModuleState, NodeProgram, RunningKind, Values } from "./kind.ts";

/**
 * Adds one value of a step.
 *
 * @param kept Kept values; this one's is at `to`.
 * @param x Values of the step; this one is at `from`.
 * @param fresh Whether it is the row's first step.
 */
export type TakeValue = (
  saved: ModuleState[string],
  to: number,
  x: Values,
  from: number,
  fresh: boolean,
) => void;

/** Describes an end of time. */
export interface EndOfTime<P extends NodeProgram> {
  /** Its name in programs. */
  readonly kind: string;
  /** Adds a value to the saved row. */
  take(program: P): TakeValue;
  /** Writes all rows of the output; by default the saved rows. */
  give?(state: ModuleState, out: Values, batch: number, program: P): void;
}

/** How an end of time runs. */
export function endOfTime<P extends NodeProgram>(
  {
    kind,
    take,
    give,
  }: EndOfTime<P>,
): RunningKind<P> {
  return {
    kind,
    instantiate(program) {
      const { size } = program.output;
      const takeValue = take(program);
      const { name } = program.slots!.at(-1)!;
      return {
        infallible: true,
        process(state, [x], out, { steps, batch, lengths }) {
          const saved = state[name]!;
          const fresh = state.fresh!;
          for (let row = 0; row < batch; row++) {
            for (let t = 0; t < (lengths === null ? steps : Math.min(steps, lengths[row]!)); t++) {
              const first = fresh[row] === 1;
              const from = (t * batch + row) * size;
              for (let k = 0; k < size; k++) takeValue(saved, row * size + k, x!, from + k, first);
              fresh[row] = 0;
              // Steps of each row, where a slot counts them.
              if (state.count) state.count[row]!++;
            }
          }
          if (give) give(state, out, batch, program);
          else for (let i = 0; i < batch * size; i++) out[i] = saved[i]!;
        },
      };
    },
  };
}
