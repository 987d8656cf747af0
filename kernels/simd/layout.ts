/**
 * The memory that TypeScript and AssemblyScript share: the one table of it. `deno task build:simd`
 * writes layout.as from it, which stands before lstm.as when that is compiled; src/simd/memory.ts
 * writes what the kernel reads.
 *
 * A layout names fields that stand one behind the other, each with its length in words of four
 * bytes. Here a field's value is its offset in words, in layout.as in bytes.
 *
 * @module
 */

/** Words of a vector. */
const VECTOR = 4;

/** Offsets of fields, and the length of all. */
export type Layout<Name extends string = string> = { readonly [name in Name | "SIZE"]: number };

/** Lays out fields one behind the other. */
function layOut<Name extends string>(words: { readonly [name in Name]: number }): Layout<Name> {
  const offsets: Record<string, number> = {};
  let at = 0;
  for (const name in words) {
    offsets[name] = at;
    at += words[name];
  }
  offsets.SIZE = at;
  return offsets as Layout<Name>;
}

/** A sum of two quantized terms: vectors, whose lanes are the four gates or four units. */
export const SUM = layOut({
  /** Multiplier of the first term, float32. */
  SCALE_A: VECTOR,
  /** Multiplier of the second term, float32. */
  SCALE_B: VECTOR,
  /** What the sum is multiplied by, float32. */
  FACTOR: VECTOR,
  /** Bounds of the result less the zero point, float32. */
  LOWER: VECTOR,
  UPPER: VECTOR,
  /** In fixed point the terms' multipliers, int32. */
  FIXED_A: VECTOR,
  FIXED_B: VECTOR,
  /** 2^13 / step, float32. */
  FIXED_INVERSE: VECTOR,
  /** Which lanes are in fixed point: all bits or none. */
  FIXED_LANES: VECTOR,
  /** How many lanes are: one of {@linkcode FIXED}. */
  FIXED: VECTOR,
});

/** Which lanes of a sum are in fixed point. */
export const FIXED = { NONE: 0, SOME: 1, ALL: 2 } as const;

/** Bounds of a product whose multiplier stands elsewhere: vectors of float32. */
export const BOUNDS = layOut({ LOWER: VECTOR, UPPER: VECTOR });

/** A product: vectors of float32. */
export const PRODUCT = layOut({ MULTIPLIER: VECTOR, LOWER: VECTOR, UPPER: VECTOR });

/** An activation table's parameters, float32. */
export const ACTIVATION = layOut({
  /** Scale of its inputs. */
  SCALE: 1,
  /** Reciprocal of the scale of its outputs. */
  INVERSE: 1,
  /** Bounds of its outputs less the zero point. */
  LOWER: 1,
  UPPER: 1,
});

/** Activations of a cell: of the four gates, and of the cell state. */
export const ACTIVATIONS = 5;

/**
 * A step's second product: of a state that a GRU resets before it is multiplied, or of one
 * that an LSTM projects.
 */
export const SECOND = layOut({
  /** What it is multiplied by, as a {@linkcode CELL}'s hidden state; 0 groups where there is none. */
  GROUPS: 1,
  FORM: 1,
  WEIGHTS: 1,
  /** Its {@linkcode PROJECTION}. */
  PROJECTION: 1,
  /** Bytes of its sums, and of a projected state, float32, in whole blocks of units. */
  WIDTH: 1,
  UNITS: 3,
  OFFSET: VECTOR,
});

/** A cell's constants. */
export const CELL = layOut({
  /** Blocks of units. */
  BLOCKS: 1,
  /** Groups of values of an input and of a hidden state. */
  INPUT_GROUPS: 1,
  HIDDEN_GROUPS: 1,
  /** Their forms, of {@linkcode FORM}. */
  INPUT_FORM: 1,
  HIDDEN_FORM: 1,
  /** Addresses of what they are multiplied by. */
  INPUT_WEIGHTS: 1,
  HIDDEN_WEIGHTS: 1,
  /** Address of the input's {@linkcode PROJECTION}. */
  INPUT_PROJECTION: 1,
  /** The four gates, each a lane of a {@linkcode SUM}. */
  GATE_SUM: SUM.SIZE,
  /** The cell state, a {@linkcode SUM}. */
  STATE_SUM: SUM.SIZE,
  /** Input gate * cell gate, a {@linkcode PRODUCT}. */
  CANDIDATE: PRODUCT.SIZE,
  /**
   * Forget gate * cell state: {@linkcode BOUNDS}; the multiplier stands in the hidden state's
   * projection.
   */
  FORGET: BOUNDS.SIZE,
  /** Output gate * tanh(cell state), a {@linkcode PRODUCT}. */
  HIDDEN: PRODUCT.SIZE,
  /**
   * Where tables' outputs stand, less the magic number's bits: of the four gates, and of the cell
   * state.
   */
  GATE_TABLES: VECTOR,
  STATE_TABLE: VECTOR,
  /**
   * Offsets of an operand's values, even and odd ones in turn, plus the magic number's bits, int32.
   */
  HIDDEN_OFFSET: VECTOR,
  INPUT_OFFSET: VECTOR,
  /** Bounds of inputs less the zero point, float32. */
  INPUT_LOWER: VECTOR,
  INPUT_UPPER: VECTOR,
  /** A {@linkcode SECOND} product. */
  SECOND: SECOND.SIZE,
  /** An {@linkcode ACTIVATION} for each table. */
  ACTIVATIONS: ACTIVATIONS * ACTIVATION.SIZE,
  /**
   * How many steps keep no outputs: tables are large, and what a step asks for stands in many of
   * their pages. The kernel counts it down; behind what is copied to {@linkcode SHARED}'s RUNNING.
   */
  PATIENCE: 1,
  /**
   * How many {@linkcode PROJECTION}s the input's is, a GRU's three; elsewhere 0: then a vector's lanes
   * are the gates.
   */
  INPUT_GATES: 3,
});

/**
 * A GRU's constants, behind a {@linkcode CELL} without sums and products. The lanes of its vectors are
 * four units, whose gates are vectors one behind the other; so stand its sums, its projected inputs and
 * the rows of its weights. Of a projection there are a {@linkcode PROJECTION} for each gate.
 */
export const GRU = layOut({
  /** Bytes of the units of a row, float32. */
  UNITS: 1,
  /** Gates of the hidden state's product: 3, or 2 where the state is reset before it is multiplied. */
  GATES: 1,
  /** Whether the update gate says how much of the new gate enters. */
  COMPLEMENTED: 2,
});

/**
 * What a GRU's sums and products are, of a state of some parameters: before the projections of its
 * product.
 */
export const BINDING = layOut({
  /** What the gates' functions read, a {@linkcode SUM} each. */
  GATE_SUMS: 3 * SUM.SIZE,
  /** The new hidden state, a {@linkcode SUM}. */
  STATE_SUM: SUM.SIZE,
  /** Hidden state less new gate, or the reverse: a {@linkcode SUM}. */
  CHANGE: SUM.SIZE,
  /** What the reset gate is multiplied by before its product, float32. */
  RESET_SCALE: VECTOR,
  /** Reset gate * hidden state or its product, a {@linkcode PRODUCT}. */
  RESET: PRODUCT.SIZE,
  /** Update gate * change, a {@linkcode PRODUCT}. */
  UPDATE: PRODUCT.SIZE,
});

/** What stands at the beginning of memory. */
export const SHARED = layOut({
  // Constants, from memory so that no engine makes them anew at each use.
  /** Ones, int16. */
  ONES: VECTOR,
  /** The lower bytes of int16. */
  LOW: VECTOR,
  /** 1.5 * 2^23, float32: {@linkcode MAGIC_BITS}. */
  MAGIC: VECTOR,
  /** .5, float32. */
  HALF: VECTOR,
  /** The sign of float32. */
  SIGN: VECTOR,
  /**
   * Whether four products are summed by one instruction rather than two: where it is one for the
   * processor too.
   */
  ONE_STEP: 1,
  /** Address of the cell that runs. */
  CURRENT: 1,
  // These stand here because an engine may box a fraction that is an argument.
  /**
   * What inputs are multiplied by on their way in, float32: 1, or the reciprocal of the reals'
   * scale.
   */
  IN_SCALE: 1,
  /** What hidden states are multiplied by on their way out, float32. */
  OUT_SCALE: 1,
  /** The cell that runs, up to its PATIENCE: engines check no bounds where an address is known. */
  RUNNING: CELL.PATIENCE,
  /** Address of a row's outputs that are not kept: a vector a unit. */
  ASIDE: 4,
  /** What a GRU has besides, where one runs. */
  RUNNING_GRU: GRU.SIZE,
});

/** What takes a unit's sums to its projected gates: four rows of weights. */
export const PROJECTION_UNIT = layOut({
  /** The bias in units of the sum, float32 or float64: {@linkcode BIAS}. */
  TERM: 2 * VECTOR,
  /** float32 */
  MULTIPLIER: VECTOR,
});

/** What takes sums to projected gates: these, then a {@linkcode PROJECTION_UNIT} a unit. */
export const PROJECTION = layOut({
  /** How the bias is added: one of {@linkcode BIAS}. */
  BIAS: 1,
  /** Whether there are gates that are not quantized. */
  UNQUANTIZED: 3,
  /** Which gates are: all bits or none. */
  QUANTIZED: VECTOR,
  /** Bounds of the projected gates less the zero point, float32. */
  LOWER: VECTOR,
  UPPER: VECTOR,
  /** Multiplier of forget gate * cell state, float32. */
  FORGET_MULTIPLIER: VECTOR,
});

/** How a projection's bias is added to a sum. */
export const BIAS = {
  /** The terms are float32, and one float32 addition is exact enough. */
  FLOAT32: 0,
  /** The terms are float64, and the sum is rounded once. */
  FLOAT64: 1,
  /**
   * The terms are float64; the sum is rounded to float32, then all of it as a fused multiply-add
   * rounds.
   */
  FUSED: 2,
} as const;

/** A row of the batch, as `runSteps` takes it: addresses. */
export const ROW = layOut({
  /** The hidden state's {@linkcode PROJECTION}; of a GRU a {@linkcode BINDING}. */
  PROJECTION: 1,
  /** The hidden state, an operand. */
  HIDDEN: 1,
  /** The cell state, float32; a GRU's hidden state. */
  CELL: 1,
  /** The address of the first step's projected input. */
  INPUTS: 1,
  /** Its first output. */
  OUTPUT: 1,
  /** Scratch for its gates. */
  GATES: 1,
  /** Where the new hidden state is gathered, an operand, where not all units are taken at once. */
  NEXT: 1,
  /**
   * The operand of the second product, where there is one; behind it, of a GRU with split gates, what
   * units keep until all states are reset.
   */
  SECOND: 1,
});

/**
 * The forms in which operands are stored. int16, with int16 weights. Bytes of 0..127; or bytes of
 * the low seven bits of 0..255, and after them bytes of the top bits: both are multiplied by
 * relaxed products, and top bits only where there are any; under torch's `reduce_range` a value has
 * one only if it leaves the range that was observed. Or int16 of four values, the first and third
 * of -128..127, the second and fourth of -255..0: the second and fourth, then 256 times the first
 * and third less these. Two int8 weights at a time are multiplied by them. Or, of 0..16383, bytes of
 * the low seven bits and after them bytes of the high seven.
 *
 * Behind an operand of the third and fourth stands a vector: whether there are top bits, or four
 * times what its sums start with.
 */
export const FORM = { WIDE: 0, NARROW: 1, SPLIT: 2, PAIRED: 3, HALVES: 4 } as const;

/**
 * Bits of 1.5 * 2^23: added to a float of magnitude below 2^22 it leaves the integer in the low
 * bits.
 */
export const MAGIC_BITS = 0x4b400000;

/**
 * Units that the kernel takes through a step together: states and outputs are filled up to whole
 * blocks.
 */
export const BLOCK_UNITS = 8;

/**
 * Rows of weights that are multiplied in one pass over an operand: the four gates of a block's
 * units.
 */
export const BLOCK_ROWS = 4 * BLOCK_UNITS;

/**
 * Groups of weights, of all blocks together, that several operands are multiplied by one after the
 * other.
 */
export const TILE_GROUPS = 192;

/**
 * Words between two projected inputs, and between two rows' gates: so that they share no places in
 * a cache.
 */
export const GAP = 16;
