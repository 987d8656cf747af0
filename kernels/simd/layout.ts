/**
 * The one table of the memory that TypeScript and AssemblyScript share. `deno task build:simd`
 * generates layout.as from it, which is compiled before lstm.as; src/simd/memory.ts writes the
 * constants that the kernel reads.
 *
 * A layout names consecutive fields with their lengths in words of four bytes. The value of a field
 * is its offset, in words here and in bytes in layout.as.
 *
 * @module
 */

/** Words per vector. */
const VECTOR = 4;

/** Offsets of fields, and their total length. */
export type Layout<Name extends string = string> = { readonly [name in Name | "SIZE"]: number };

/** Lays out consecutive fields. */
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

/** A sum of two quantized terms, as vectors whose lanes are the four gates or four units. */
export const SUM = layOut({
  /** Multiplier of the first term, float32. */
  SCALE_A: VECTOR,
  /** Multiplier of the second term, float32. */
  SCALE_B: VECTOR,
  /** Factor of the sum, float32. */
  FACTOR: VECTOR,
  /** Bounds of the result minus the zero point, float32. */
  LOWER: VECTOR,
  UPPER: VECTOR,
  /** In fixed point: multipliers of the terms, int32. */
  FIXED_A: VECTOR,
  FIXED_B: VECTOR,
  /** 2^13 / step, float32. */
  FIXED_INVERSE: VECTOR,
  /** Lanes that are in fixed point: all bits or none. */
  FIXED_LANES: VECTOR,
  /** The number of such lanes: one of {@linkcode FIXED}. */
  FIXED: VECTOR,
});

/** The lanes of a sum that are in fixed point. */
export const FIXED = { NONE: 0, SOME: 1, ALL: 2 } as const;

/** Bounds of a product whose multiplier is stored elsewhere; vectors of float32. */
export const BOUNDS = layOut({ LOWER: VECTOR, UPPER: VECTOR });

/** A product; vectors of float32. */
export const PRODUCT = layOut({ MULTIPLIER: VECTOR, LOWER: VECTOR, UPPER: VECTOR });

/** Parameters of an activation table, float32. */
export const ACTIVATION = layOut({
  /** Scale of its inputs. */
  SCALE: 1,
  /** Reciprocal of the scale of its outputs. */
  INVERSE: 1,
  /** Bounds of its outputs minus the zero point. */
  LOWER: 1,
  UPPER: 1,
});

/** Number of activations of a cell: of the four gates and of the cell state. */
export const ACTIVATIONS = 5;

/**
 * The second product of a step: of a GRU's reset state, or of an LSTM's state that is projected.
 */
export const SECOND = layOut({
  /**
   * Its operand, as for a {@linkcode CELL}'s hidden state; 0 groups if there is no second product.
   */
  GROUPS: 1,
  FORM: 1,
  WEIGHTS: 1,
  /** Address of its {@linkcode PROJECTION}. */
  PROJECTION: 1,
  /** Bytes of its sums, and of a projected state, float32, in whole blocks of units. */
  WIDTH: 1,
  UNITS: 3,
  OFFSET: VECTOR,
});

/** A cell's constants. */
export const CELL = layOut({
  /** Number of blocks of units. */
  BLOCKS: 1,
  /** Numbers of groups of values of the input and of the hidden state. */
  INPUT_GROUPS: 1,
  HIDDEN_GROUPS: 1,
  /** Their forms: {@linkcode FORM}. */
  INPUT_FORM: 1,
  HIDDEN_FORM: 1,
  /** Addresses of their weights. */
  INPUT_WEIGHTS: 1,
  HIDDEN_WEIGHTS: 1,
  /** Address of the input's {@linkcode PROJECTION}. */
  INPUT_PROJECTION: 1,
  /** The sums of the four gates, one lane of a {@linkcode SUM} each. */
  GATE_SUM: SUM.SIZE,
  /** The cell state, a {@linkcode SUM}. */
  STATE_SUM: SUM.SIZE,
  /** Input gate * cell gate, a {@linkcode PRODUCT}. */
  CANDIDATE: PRODUCT.SIZE,
  /**
   * Forget gate * cell state: {@linkcode BOUNDS}; its multiplier is in the hidden state's
   * projection.
   */
  FORGET: BOUNDS.SIZE,
  /** Output gate * tanh(cell state), a {@linkcode PRODUCT}. */
  HIDDEN: PRODUCT.SIZE,
  /**
   * Addresses of the tables of the four gates and of the cell state, minus the bits of the magic
   * number.
   */
  GATE_TABLES: VECTOR,
  STATE_TABLE: VECTOR,
  /** Offsets of an operand's even and odd values, plus the bits of the magic number, int32. */
  HIDDEN_OFFSET: VECTOR,
  INPUT_OFFSET: VECTOR,
  /** Bounds of inputs minus the zero point, float32. */
  INPUT_LOWER: VECTOR,
  INPUT_UPPER: VECTOR,
  /** The {@linkcode SECOND} product. */
  SECOND: SECOND.SIZE,
  /** The {@linkcode ACTIVATION} of each table. */
  ACTIVATIONS: ACTIVATIONS * ACTIVATION.SIZE,
  /**
   * Number of further steps in which outputs of large tables are not stored, because they would be
   * spread over many pages. The kernel counts it down. It comes after the part that is copied to
   * RUNNING of {@linkcode SHARED}.
   */
  PATIENCE: 1,
  /**
   * Number of {@linkcode PROJECTION}s of the input: 3 for a GRU. 0 means that the lanes of a vector
   * are the gates.
   */
  INPUT_GATES: 3,
});

/**
 * Constants of a GRU, after a {@linkcode CELL} without sums and products. The lanes of its vectors
 * are four units, with one vector after another for each gate. Its sums, its projected inputs and
 * the rows of its weights have the same order. A product has a {@linkcode PROJECTION} for each
 * gate.
 */
export const GRU = layOut({
  /** Bytes of a row's units, float32. */
  UNITS: 1,
  /**
   * Number of gates of the hidden state's product: 3, or 2 if the state is reset before its
   * product.
   */
  GATES: 1,
  /** Whether the update gate weights the new gate instead of the old state. */
  COMPLEMENTED: 2,
});

/**
 * Sums and products of a GRU for given qparams of the state, followed by the projections of its
 * product.
 */
export const BINDING = layOut({
  /** The inputs of the gates' activations, a {@linkcode SUM} each. */
  GATE_SUMS: 3 * SUM.SIZE,
  /** The new hidden state, a {@linkcode SUM}. */
  STATE_SUM: SUM.SIZE,
  /** Hidden state minus new gate, or new gate minus hidden state: a {@linkcode SUM}. */
  CHANGE: SUM.SIZE,
  /** Scale of the reset gate for its product, float32. */
  RESET_SCALE: VECTOR,
  /** Reset gate * hidden state (or its product), a {@linkcode PRODUCT}. */
  RESET: PRODUCT.SIZE,
  /** Update gate * change, a {@linkcode PRODUCT}. */
  UPDATE: PRODUCT.SIZE,
});

/** The beginning of memory. */
export const SHARED = layOut({
  // Constants, read from memory so that engines do not create them at each use.
  /** Ones, int16. */
  ONES: VECTOR,
  /** Mask of the lower bytes of int16. */
  LOW: VECTOR,
  /** 1.5 * 2^23, float32: {@linkcode MAGIC_BITS}. */
  MAGIC: VECTOR,
  /** .5, float32. */
  HALF: VECTOR,
  /** Mask of the sign of float32. */
  SIGN: VECTOR,
  /**
   * Whether to sum four products with one instruction rather than two: if it is one instruction of
   * the processor as well.
   */
  ONE_STEP: 1,
  /** Address of the cell in RUNNING. */
  CURRENT: 1,
  // Stored here because an engine may box a fraction that is passed as an argument.
  /** Factor of inputs, float32: 1, or the reciprocal of the scale for real inputs. */
  IN_SCALE: 1,
  /** Factor of output hidden states, float32. */
  OUT_SCALE: 1,
  /**
   * Copy of the current cell, up to PATIENCE: engines omit bounds checks for constant addresses.
   */
  RUNNING: CELL.PATIENCE,
  /** Address of scratch for a row's outputs that are not stored in tables: a vector per unit. */
  ASIDE: 4,
  /** Copy of the current GRU's constants. */
  RUNNING_GRU: GRU.SIZE,
});

/** Constants from a unit's sums to its projected gates: four rows of weights. */
export const PROJECTION_UNIT = layOut({
  /** The bias in units of the sum, float32 or float64: {@linkcode BIAS}. */
  TERM: 2 * VECTOR,
  /** The multiplier, float32. */
  MULTIPLIER: VECTOR,
});

/**
 * Constants from sums to projected gates, followed by a {@linkcode PROJECTION_UNIT} for each unit.
 */
export const PROJECTION = layOut({
  /** How to add the bias: one of {@linkcode BIAS}. */
  BIAS: 1,
  /** How many of the gates are not quantized: one of {@linkcode UNQUANTIZED}. */
  UNQUANTIZED: 3,
  /** Mask of the quantized gates. */
  QUANTIZED: VECTOR,
  /** Bounds of the projected gates minus the zero point, float32. */
  LOWER: VECTOR,
  UPPER: VECTOR,
  /** Multiplier of forget gate * cell state, float32. */
  FORGET_MULTIPLIER: VECTOR,
});

/** How to add a projection's bias to a sum. */
export const BIAS = {
  /** The terms are float32: one float32 addition to the sum, which is rounded to float32 before. */
  FLOAT32: 0,
  /** The terms are float64, and the sum is rounded once. */
  FLOAT64: 1,
  /**
   * The terms are float64; the sum is rounded to float32, then the whole is rounded like a fused
   * multiply-add.
   */
  FUSED: 2,
} as const;

/** How many of a projection's gates are not quantized. */
export const UNQUANTIZED = { NONE: 0, SOME: 1, ALL: 2 } as const;

/** The description of a batch row for `runSteps`: addresses. */
export const ROW = layOut({
  /** The {@linkcode PROJECTION} of the hidden state; for a GRU, its {@linkcode BINDING}. */
  PROJECTION: 1,
  /** The hidden state, an operand. */
  HIDDEN: 1,
  /** The cell state, float32; for a GRU, the hidden state. */
  CELL: 1,
  /** Address of the first step's projected input. */
  INPUTS: 1,
  /** Address of the first output. */
  OUTPUT: 1,
  /** Scratch for its gates. */
  GATES: 1,
  /** The new hidden state as an operand, if units do not run all at once. */
  NEXT: 1,
  /**
   * The operand of the second product, if there is one. For a GRU with split gates, it is followed
   * by values of units that are needed after all states are reset.
   */
  SECOND: 1,
});

/**
 * The storage forms of operands.
 *
 * WIDE: int16, with int16 weights. NARROW: bytes of 0..127. SPLIT: the low seven bits of 0..255 as
 * bytes, then the top bits as bytes. NARROW and SPLIT use relaxed products; top bits are multiplied
 * only if there are any, and with torch's `reduce_range` a value has one only if it leaves the
 * observed range. PAIRED: int16 of four values, of which the first and third are in -128..127, and
 * the second and fourth in -255..0; stored are the second and fourth, then 256 times the first and
 * third minus these. They are multiplied by two int8 weights at a time. HALVES: the low seven bits
 * of 0..16383 as bytes, then the high seven bits as bytes.
 *
 * A vector follows an operand of SPLIT and PAIRED: whether there are top bits, or four times the
 * initial value of its sums.
 */
export const FORM = { WIDE: 0, NARROW: 1, SPLIT: 2, PAIRED: 3, HALVES: 4 } as const;

/**
 * Bits of 1.5 * 2^23: adding it to a float of magnitude below 2^22 leaves the integer in the low
 * bits.
 */
export const MAGIC_BITS = 0x4b400000;

/** Number of units that the kernel runs together: states and outputs are padded to whole blocks. */
export const BLOCK_UNITS = 8;

/**
 * Number of rows of weights that are multiplied in one pass over an operand: the four gates of a
 * block's units.
 */
export const BLOCK_ROWS = 4 * BLOCK_UNITS;

/** Max groups of weights, over all blocks, that are multiplied by several operands in turn. */
export const TILE_GROUPS = 192;

/**
 * Words between two projected inputs, and between the gates of two rows, so that they do not
 * compete for the same cache lines.
 */
export const GAP = 16;
