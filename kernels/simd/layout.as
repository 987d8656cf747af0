// Written by `deno task build:simd` from kernels/simd/layout.ts, which says what each is.

const MAGIC_BITS: i32 = 1262485504;
const TILE_GROUPS: i32 = 192;
// Bytes of a block's sums, and of a group of its weights.
const BLOCK: usize = 128;
const GAP: usize = 64;

const FORM_WIDE: i32 = 0;
const FORM_NARROW: i32 = 1;
const FORM_SPLIT: i32 = 2;
const FORM_PAIRED: i32 = 3;
const FORM_HALVES: i32 = 4;

const BIAS_FLOAT32: i32 = 0;
const BIAS_FLOAT64: i32 = 1;
const BIAS_FUSED: i32 = 2;

const FIXED_NONE: i32 = 0;
const FIXED_SOME: i32 = 1;
const FIXED_ALL: i32 = 2;

const UNQUANTIZED_NONE: i32 = 0;
const UNQUANTIZED_SOME: i32 = 1;
const UNQUANTIZED_ALL: i32 = 2;

const ONES: usize = 0;
const LOW: usize = 16;
const MAGIC: usize = 32;
const HALF: usize = 48;
const SIGN: usize = 64;
const ONE_STEP: usize = 80;
const CURRENT: usize = 84;
const IN_SCALE: usize = 88;
const OUT_SCALE: usize = 92;
const RUNNING: usize = 96;
const ASIDE: usize = 800;
const RUNNING_GRU: usize = 816;

const CELL_BLOCKS: usize = 0;
const CELL_INPUT_GROUPS: usize = 4;
const CELL_HIDDEN_GROUPS: usize = 8;
const CELL_INPUT_FORM: usize = 12;
const CELL_HIDDEN_FORM: usize = 16;
const CELL_INPUT_WEIGHTS: usize = 20;
const CELL_HIDDEN_WEIGHTS: usize = 24;
const CELL_INPUT_PROJECTION: usize = 28;
const CELL_GATE_SUM: usize = 32;
const CELL_STATE_SUM: usize = 192;
const CELL_CANDIDATE: usize = 352;
const CELL_FORGET: usize = 400;
const CELL_HIDDEN: usize = 432;
const CELL_GATE_TABLES: usize = 480;
const CELL_STATE_TABLE: usize = 496;
const CELL_HIDDEN_OFFSET: usize = 512;
const CELL_INPUT_OFFSET: usize = 528;
const CELL_INPUT_LOWER: usize = 544;
const CELL_INPUT_UPPER: usize = 560;
const CELL_SECOND: usize = 576;
const CELL_ACTIVATIONS: usize = 624;
const CELL_PATIENCE: usize = 704;
const CELL_INPUT_GATES: usize = 708;
const CELL_SIZE: usize = 720;

const SECOND_GROUPS: usize = 0;
const SECOND_FORM: usize = 4;
const SECOND_WEIGHTS: usize = 8;
const SECOND_PROJECTION: usize = 12;
const SECOND_WIDTH: usize = 16;
const SECOND_UNITS: usize = 20;
const SECOND_OFFSET: usize = 32;
const SECOND_SIZE: usize = 48;

const GRU_UNITS: usize = 0;
const GRU_GATES: usize = 4;
const GRU_COMPLEMENTED: usize = 8;
const GRU_SIZE: usize = 16;

const BINDING_GATE_SUMS: usize = 0;
const BINDING_STATE_SUM: usize = 480;
const BINDING_CHANGE: usize = 640;
const BINDING_RESET_SCALE: usize = 800;
const BINDING_RESET: usize = 816;
const BINDING_UPDATE: usize = 864;
const BINDING_SIZE: usize = 912;

const SUM_SCALE_A: usize = 0;
const SUM_SCALE_B: usize = 16;
const SUM_FACTOR: usize = 32;
const SUM_LOWER: usize = 48;
const SUM_UPPER: usize = 64;
const SUM_FIXED_A: usize = 80;
const SUM_FIXED_B: usize = 96;
const SUM_FIXED_INVERSE: usize = 112;
const SUM_FIXED_LANES: usize = 128;
const SUM_FIXED: usize = 144;
const SUM_SIZE: usize = 160;

const PRODUCT_MULTIPLIER: usize = 0;
const PRODUCT_LOWER: usize = 16;
const PRODUCT_UPPER: usize = 32;
const PRODUCT_SIZE: usize = 48;

const BOUNDS_LOWER: usize = 0;
const BOUNDS_UPPER: usize = 16;
const BOUNDS_SIZE: usize = 32;

const ACTIVATION_SCALE: usize = 0;
const ACTIVATION_INVERSE: usize = 4;
const ACTIVATION_LOWER: usize = 8;
const ACTIVATION_UPPER: usize = 12;
const ACTIVATION_SIZE: usize = 16;

const PROJECTION_BIAS: usize = 0;
const PROJECTION_UNQUANTIZED: usize = 4;
const PROJECTION_QUANTIZED: usize = 16;
const PROJECTION_LOWER: usize = 32;
const PROJECTION_UPPER: usize = 48;
const PROJECTION_FORGET_MULTIPLIER: usize = 64;
const PROJECTION_SIZE: usize = 80;

const UNIT_TERM: usize = 0;
const UNIT_MULTIPLIER: usize = 32;
const UNIT_SIZE: usize = 48;

const ROW_PROJECTION: usize = 0;
const ROW_HIDDEN: usize = 4;
const ROW_CELL: usize = 8;
const ROW_INPUTS: usize = 12;
const ROW_OUTPUT: usize = 16;
const ROW_GATES: usize = 20;
const ROW_NEXT: usize = 24;
const ROW_SECOND: usize = 28;
const ROW_SIZE: usize = 32;
